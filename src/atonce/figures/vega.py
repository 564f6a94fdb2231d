"""Vega-Lite: charts as its JSON, and its script for offline pages."""

from typing import Any

from atonce.figures import labels
from atonce.figures.drawing_process import SHARED


def vega_lite_version() -> str:
    """The version of Vega-Lite that the installed Altair writes, such as "6.1"."""
    # The drawing library has several: it must take the one that the chart was written for.
    import altair

    return ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def script(use: str) -> str:
    """The script that draws Vega-Lite, with the lines of JavaScript that `use` it, for a page as it is.

    About 0.9 MB. `use` knows the function vegaEmbed.
    """
    bundle = SHARED.ask("javascript_bundle", snippet=use, vl_version=vega_lite_version()).decode()
    # In JavaScript a backslash before a slash changes nothing; in HTML it keeps the element from ending here.
    return bundle.replace("</script", r"<\/script")


def spec_of(chart: Any) -> dict[str, Any]:
    """An Altair chart as JSON has it, its texts such as every drawing can hold."""
    from altair import Undefined

    # Plain already: altair would look at each number of them, for half a minute in a long text.
    apart = {} if chart.datasets is Undefined else dict(chart.datasets)
    bare = chart.copy(deep=False)
    bare.datasets = Undefined
    spec = dict(bare.to_dict())
    datasets = {**spec.pop("datasets", {}), **apart}
    return labels.fit({**spec, **({"datasets": datasets} if datasets else {})})
