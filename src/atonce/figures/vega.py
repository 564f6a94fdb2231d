"""Vega-Lite, which draws all figures, and its script for pages that load nothing."""


def vega_lite_version() -> str:
    """The version of Vega-Lite that the installed Altair writes, such as "6.1"."""
    import altair

    return ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def script(use: str) -> str:
    """The script that draws Vega-Lite, with the lines of JavaScript that `use` it, for a page as it is.

    About 0.9 MB. `use` knows the function vegaEmbed.
    """
    import vl_convert

    bundle = vl_convert.javascript_bundle(use, vl_version=vega_lite_version())
    # In JavaScript a backslash before a slash changes nothing; in HTML it keeps the element from ending here.
    return str(bundle).replace("</script", r"<\/script")
