"""The interface against its own description: whatever fits it is answered, whatever does not is refused."""

import pytest
from hypothesis import HealthCheck, given, settings

schemathesis = pytest.importorskip("schemathesis")

READ = ("/v1/models", "/v1/architectures", "/v1/runs", "/health", "/metrics")
ASKED = (
    "/v1/translate", "/v1/summarize", "/v1/classify", "/v1/look", "/v1/heads", "/v1/heatmap",
    "/v1/comparison", "/v1/influence", "/v1/beam", "/v1/ticks",
)  # fmt: skip
LONG = {"/v1/ticks", "/v1/heatmap", "/v1/comparison", "/v1/influence"}
"""What takes a second to compute or to draw."""
# A description cannot say which layers a model has, or what goes with `stream`: 422 answers what does not.
EXCEPT = [schemathesis.checks.positive_data_acceptance]


# schemathesis itself draws now and then by Python's `random`, which hypothesis warns of.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.parametrize(
    ("path", "mode"), [(path, mode) for path in ASKED for mode in ("positive", "negative")]
    + [(path, "positive") for path in READ],
)  # fmt: skip
def test_answers_are_as_described(address: tuple[str, int], path: str, mode: str) -> None:
    schema = schemathesis.openapi.from_url("http://{}:{}/openapi.json".format(*address))
    operations = [one.ok() for one in schema.get_all_operations()]
    (operation,) = (one for one in operations if one.path == path)

    @settings(max_examples=6 if path in LONG else 25, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
    def check(case) -> None:
        case.call_and_validate(excluded_checks=EXCEPT)

    check()


def test_every_path_is_tried(address: tuple[str, int]) -> None:
    schema = schemathesis.openapi.from_url("http://{}:{}/openapi.json".format(*address))
    assert {one.ok().path for one in schema.get_all_operations()} == {*READ, *ASKED}
