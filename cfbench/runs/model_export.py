"""The model of a stored run as one file for serving elsewhere: ONNX, or safetensors.

Both files name the run and hold the ids of the source, as JSON in their metadata. A network leaves with all that it
needs to predict; any other model leaves with the arrays that its run stored.
"""

from __future__ import annotations

import json
import logging
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np

from cfbench import advice
from cfbench.contract import RowNetwork
from cfbench.errors import UsageError
from cfbench.files import atomic_file, write_errors
from cfbench.learning import biases
from cfbench.runs.plugin_calls import plugin_call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cfbench.contract import Model, Predictor, State
    from cfbench.data.store import Dataset
    from cfbench.runs.record import Record

ModelFormat: TypeAlias = Literal["onnx", "safetensors"]
MAX_ONNX_BYTES = 1_500_000_000
"""Torch writes larger weights into a second file, because an ONNX file holds at most 2 GB."""


@dataclass(frozen=True)
class ModelFacts:
    """What the file says of its model."""

    run: str
    plugin: str
    package: str
    config: dict[str, Any]
    dataset: str
    split: str
    scale: dict[str, float]
    train_mean: float
    """The mean of the ratings that the model has learned."""
    users: list[str]
    """The source's id of each user, in the order of the arrays."""
    items: list[str]
    rows: Literal["user", "item"] | None
    """Whose ratings a row of the network holds, and the columns are the other side; None for a model without rows."""

    def metadata(self) -> dict[str, str]:
        """Each fact as JSON."""
        return {name: json.dumps(value, ensure_ascii=False) for name, value in asdict(self).items()}


def describe_model(record: Record, dataset: Dataset, model: Predictor) -> ModelFacts:
    """Return what the file of this run's model says."""
    request, catalogue = record.request, dataset.catalogue
    split = dataset.split(request.split.name)
    learned = (split.train_and_valid if request.refit else split.train)(dataset.ratings)
    return ModelFacts(
        run=record.run, plugin=request.plugin.name, package=request.plugin.package, config=request.config,
        dataset=request.dataset.name, split=request.split.name, scale=dataset.ratings.scale.model_dump(),
        train_mean=biases.mean(learned), users=catalogue.users["id"].to_list(), items=catalogue.items["id"].to_list(),
        rows=model.row_kind if isinstance(model, RowNetwork) else None,
    )  # fmt: skip


def write_model(model: Predictor, facts: ModelFacts, path: Path, kind: ModelFormat) -> None:
    """Write the file, which appears only when it is complete.

    Raises `UsageError` if the model cannot leave as ONNX or a library is missing, `PluginError`, `WriteError`.
    """
    if kind == "onnx":
        _write_onnx(model, facts, path)
    else:
        _write_safetensors(model, facts, path)


def _write_safetensors(model: Predictor, facts: ModelFacts, path: Path) -> None:
    from safetensors.numpy import save

    state: State
    with plugin_call(facts.plugin, "module" if isinstance(model, RowNetwork) else "state"):
        if isinstance(model, RowNetwork):
            state = {name: tensor.numpy() for name, tensor in model.module().state_dict().items()}
        else:
            state = cast("Model", model).state()  # a stored model can do more than predict
    arrays = {name: np.ascontiguousarray(array) for name, array in state.items()}
    with write_errors(path), atomic_file(path) as unfinished:
        unfinished.write_bytes(save(arrays, facts.metadata()))


def _write_onnx(model: Predictor, facts: ModelFacts, path: Path) -> None:
    instead = "use --format safetensors"
    if not isinstance(model, RowNetwork):
        raise UsageError(f"{facts.plugin} is no network over rows of ratings, and cannot leave as ONNX; {instead}")
    if find_spec("onnxscript") is None:
        raise UsageError(f"ONNX needs more libraries: `{advice.pip_install('cfbench-recsys[onnx]')}`; or {instead}")
    program = _export_program(model, facts)
    program.model.metadata_props.update(facts.metadata())
    with write_errors(path), atomic_file(path) as unfinished, _quiet():
        program.save(unfinished, external_data=False)


def _export_program(model: RowNetwork, facts: ModelFacts) -> Any:
    """Return torch's ONNX program of the model, with any number of rows."""
    import torch

    with plugin_call(facts.plugin, "module"):
        module = model.module().eval()
    size = sum(tensor.nbytes for tensor in module.state_dict().values())
    if size > MAX_ONNX_BYTES:
        raise UsageError(
            f"the model has {size / 1e9:.1f} GB of numbers, and an ONNX file holds at most "
            f"{MAX_ONNX_BYTES / 1e9:g} GB; use --format safetensors"
        )
    n = len(facts.items if facts.rows == "user" else facts.users)
    inputs = {"ratings": torch.zeros(2, n), "rated": torch.ones(2, n, dtype=torch.bool)}
    if facts.rows == "item":
        inputs["items"] = torch.zeros(2, dtype=torch.int64)
    n_rows = torch.export.Dim("rows")
    with _quiet():
        return torch.onnx.export(
            module, tuple(inputs.values()), dynamo=True, verbose=False, input_names=list(inputs),
            output_names=["predictions"], dynamic_shapes=tuple({0: n_rows} for _ in inputs),
        )  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what torch's exporter says of its own parts: deprecated calls, and libraries that the model does not use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
