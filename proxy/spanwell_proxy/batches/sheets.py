"""Which lines of a batch a provider gets: written as it takes them, and found again by the ids it answers under."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from spanwell_proxy.apis.api import Api
from spanwell_proxy.batches.booking import begin_line, find_taker, is_fit
from spanwell_proxy.batches.lines import Line, read_requests
from spanwell_proxy.batches.provider import Form
from spanwell_proxy.batches.store import BatchStore, Row
from spanwell_proxy.body import rewrite
from spanwell_proxy.call import Call
from spanwell_proxy.caller import Caller
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.failures import ApiError
from spanwell_proxy.gateway import Gateway
from spanwell_proxy.limits.account import Account
from spanwell_proxy.limits.steps import list_costs


@dataclass(frozen=True)
class Job:
    """One batch, and in whose name it is worked at. `find_gateway`: the one that calls begin with now."""

    row: Row
    store: BatchStore
    caller: Caller
    api: Api
    find_gateway: Callable[[], Gateway]


@dataclass
class Sheet:
    """Where each line stands, and what all of them may cost at most."""

    model: str
    places: dict[str, tuple[int, int]] = field(default_factory=dict)  # number and offset by custom_id
    needs: dict[Account, int] = field(default_factory=dict)

    def add(self, line: Line, call: Call, gateway: Gateway) -> None:
        self.places[line.custom_id] = line.number, line.offset
        for account, amount in list_costs(call, gateway):
            self.needs[account] = self.needs.get(account, 0) + amount


async def read_sheet(job: Job, model: str) -> Sheet:
    """The lines of a batch that was handed over."""
    sheet = Sheet(model)
    async for line, call in _list_calls(job):
        if call.model == model:
            sheet.add(line, call, job.find_gateway())
    return sheet


async def write_sheet(job: Job, path: Path, form: Form) -> tuple[Sheet, Deployment | None]:
    """Write the form for the deployment that takes them; None where no one does, or they need the gateway between.

    Lines that cannot be asked are left out: they are refused when their turn comes here.
    """
    sheet, taker, gateway = Sheet(""), None, job.find_gateway()
    with path.open("wb") as out:
        out.write(form.head)
        async for line, call in _list_calls(job):
            sheet.model = sheet.model or call.model
            taker = taker or find_taker(gateway, call.model, job.api)
            if taker is None or call.model != sheet.model or not is_fit(call):
                return sheet, None
            sheet.add(line, call, gateway)
            asked = {"custom_id": line.custom_id, "method": "POST", "url": job.row["endpoint"]}
            out.write(orjson.dumps(asked | {"body": rewrite(call, taker)}, option=orjson.OPT_APPEND_NEWLINE))
        out.write(form.tail)
    return sheet, taker


async def _list_calls(job: Job) -> AsyncIterator[tuple[Line, Call]]:
    """Every line that can be asked."""
    with job.store.read_file(job.row["input_file_id"]) as file:
        lines = read_requests(file, job.row["endpoint"])
        while line := await asyncio.to_thread(next, lines, None):
            try:
                call, _ = await begin_line(job.find_gateway(), job.caller, job.api, line)
            except ApiError:
                continue
            yield line, call
