"""Answers for the hardware page, out of the store, the catalogue and the cost functions."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from app import wiring
from app.hardware import catalogue_of
from app.tasks.pricing import rates_of
from models.core.errors import JevonsError
from models.core.fleet import DeploymentUse, Replay
from models.core.hardware import HardwareCatalogue
from models.core.queries import CostQuery
from models.costs.whatif import run_scenario
from models.costs.whatif_presets import Assumptions, Preset, presets
from models.costs.whatif_scenario import scenario_of
from models.prices.skus import with_price_keys
from models.store.capacity import list_deployments
from models.store.fleet import hours_of_deployments
from models.store.whatif import calls_with_costs


class StoreFleet:
    """Answers `dashboards.fleet.Fleet`."""

    def deployments(self, project_id: int, start: datetime, end: datetime) -> Sequence[DeploymentUse]:
        """Deployments in service or used in the period, by name."""
        catalogue = _catalogue()
        with wiring.transaction() as connection:
            known = list_deployments(connection, [project_id], retired=True)
            hours = hours_of_deployments(connection, project_id, start, end)
        found: list[DeploymentUse] = []
        for each in known:
            used = hours.get(each.deployment_id, [])
            if each.retired_at is not None and not used:
                continue
            accelerator = catalogue.accelerators.get(each.fields["accelerator"])
            rates = [rate for rate in each.rates if rate.valid_from < end]
            found.append(
                DeploymentUse(
                    deployment_id=each.deployment_id,
                    name=each.fields["name"],
                    architecture=each.fields["architecture"],
                    accelerator=each.fields["accelerator"],
                    engine=each.fields["engine"],
                    precision=each.fields["precision"],
                    chips=each.fields["chips"],
                    concurrency=each.fields["concurrency"],
                    announced=accelerator is not None and accelerator.announced,
                    retired=each.retired_at is not None,
                    usd_per_chip_hour=rates[-1].usd_per_chip_hour if rates else None,
                    hours=used,
                )
            )
        return found

    def replays(self, query: CostQuery, assumptions: Assumptions) -> Sequence[Replay]:
        """Every preset over the calls of a question; one that cannot be answered says why.

        Raises   BadInput where the question cannot be asked of calls; NotFound for a model the catalogue lacks.
        """
        catalogue = _catalogue()
        chosen = presets(assumptions, catalogue)
        with wiring.transaction() as connection:
            calls = with_price_keys(calls_with_costs(connection, query))
            rates = rates_of(connection, query.projects[0]).rates
        return [_replay(preset, calls, rates, catalogue) for preset in chosen]

    def models(self) -> Sequence[str]:
        """Ids of the model architectures of the catalogue."""
        return sorted(_catalogue().architectures)


def _replay(preset: Preset, calls: pl.DataFrame, rates: pl.DataFrame, catalogue: HardwareCatalogue) -> Replay:
    if preset.fault:
        return Replay(
            key=preset.key, name=preset.name, scenario=preset.document, announced=preset.announced, fault=preset.fault
        )
    try:
        answer = run_scenario(calls, scenario_of(preset.document), rates, catalogue)
    except JevonsError as fault:
        return Replay(
            key=preset.key, name=preset.name, scenario=preset.document, announced=preset.announced, fault=str(fault)
        )
    return Replay(
        key=preset.key,
        name=preset.name,
        scenario=preset.document,
        actual=answer.actual,
        cost=answer.scenario,
        low=answer.low,
        high=answer.high,
        calls=answer.calls,
        left_out=answer.left_out,
        lines=answer.lines,
        assumptions=answer.assumptions,
        evidence=answer.evidence,
        announced=preset.announced,
    )


def _catalogue() -> HardwareCatalogue:
    return catalogue_of(wiring.current().settings.data_dir)
