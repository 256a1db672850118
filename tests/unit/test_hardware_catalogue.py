"""The hardware catalogue: shipped figures have sources, user files extend it, faults are named."""

import json
from pathlib import Path

import pytest

from models.core.errors import BadInput
from models.core.hardware import Sourced
from models.prices.hardware_catalogue import load_catalogue, shipped_catalogue

OWN = """
[[accelerators]]
id = "own_chip"
hardware_class = "own"
kind = "hbm_asic"
status = "shipping"
[accelerators.peak_dense_flops]
bf16 = { value = 1e15, source = "data sheet", confidence = "vendor-published" }
[accelerators.memory_bytes]
value = 96e9
source = "data sheet"
confidence = "vendor-published"
"""


def written(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_shipped_figure_has_a_source_and_a_confidence() -> None:
    for accelerator in shipped_catalogue().accelerators.values():
        figures = [*accelerator.peak_dense_flops.values(), *accelerator.usd_per_chip_hour.values()]
        names = ("memory_bytes", "memory_bytes_per_second", "tdp_w", "layer_latency_s", "capex_usd")
        figures += [figure for name in names if (figure := getattr(accelerator, name)) is not None]
        assert figures
        assert all(figure.source and figure.confidence for figure in figures), accelerator.id


def test_gpu_tpu_lpu_and_wafer_are_there_and_announced_ones_are_marked() -> None:
    catalogue = shipped_catalogue()
    assert {"h100_sxm", "tpu7x", "groq_lpu_v1", "cerebras_wse3"} <= set(catalogue.accelerators)
    announced = {name for name, accelerator in catalogue.accelerators.items() if accelerator.announced}
    assert announced == {"vera_rubin_nvl72", "groq3_lpx"}


def test_a_file_of_the_user_adds_an_accelerator(tmp_path: Path) -> None:
    catalogue = load_catalogue([written(tmp_path, "own.toml", OWN)])
    assert catalogue.accelerators["own_chip"].memory_bytes == Sourced(96e9, "data sheet", "vendor-published")
    assert "h100_sxm" in catalogue.accelerators
    assert "own_chip" not in shipped_catalogue().accelerators


def test_a_file_replaces_an_entry_of_the_same_id(tmp_path: Path) -> None:
    catalogue = load_catalogue([written(tmp_path, "own.toml", OWN.replace("own_chip", "h100_sxm"))])
    assert catalogue.accelerators["h100_sxm"].hardware_class == "own"


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        (("96e9", "-1"), "accelerators[0].memory_bytes.value", "number above 0"),
        (("96e9", '"many"'), "accelerators[0].memory_bytes.value", "number above 0"),
        (("96e9", "nan"), "accelerators[0].memory_bytes.value", "number above 0"),
        (('kind = "hbm_asic"', 'kind = "toaster"'), "accelerators[0].kind", "one of hbm_gpu"),
        (('id = "own_chip"\n', ""), "accelerators[0].id", "is missing"),
        (("hardware_class", "hardware_klass"), "accelerators[0].hardware_klass", "unknown field"),
        (('value = 96e9\nsource = "data sheet"', "value = 96e9"), "accelerators[0].memory_bytes.source", "is missing"),
        (("[[accelerators]]", "[[chips]]\n[[accelerators]]"), "chips", "unknown section"),
    ],
)
def test_a_fault_names_the_field_and_the_reason(
    tmp_path: Path, change: tuple[str, str], field: str, reason: str
) -> None:
    with pytest.raises(BadInput, match=r"own\.toml has") as caught:
        load_catalogue([written(tmp_path, "own.toml", OWN.replace(*change))])
    assert any(fault["field"] == field and reason in fault["reason"] for fault in caught.value.errors)


def test_json_of_the_wrong_shape_is_refused_not_crashed_on(tmp_path: Path) -> None:
    for body in ([], {"accelerators": {}}, {"accelerators": [7]}, {"architectures": [{"id": "x", "layers": 3}]}):
        with pytest.raises(BadInput, match=r"own\.json"):
            load_catalogue([written(tmp_path, "own.json", json.dumps(body))])


def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"broken\.toml cannot be read"):
        load_catalogue([written(tmp_path, "broken.toml", "[[")])
