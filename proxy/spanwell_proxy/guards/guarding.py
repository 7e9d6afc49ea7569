"""Guards at work on one call: what they find is noted; a request or an answer is changed, refused, or let through."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, cast

from spanwell.pii import Found
from spanwell_proxy.apis.api import Document, Reader
from spanwell_proxy.failures import GUARD_ASKS_AGAIN, GUARD_FAILED, ApiError
from spanwell_proxy.guarded import Guarded, Verdict, Where, block
from spanwell_proxy.guards.asking_again import ask_again
from spanwell_proxy.guards.finding import Finder
from spanwell_proxy.guards.flows import FindingFlow, Flow, Flows, RestoringFlow
from spanwell_proxy.guards.judging import AskModel, Finding, Guard, GuardFailedError, Subject, Watch, search
from spanwell_proxy.guards.placeholders import Placeholders
from spanwell_proxy.guards.streams import GuardedReader
from spanwell_proxy.guards.texts import Place, change_answer

LONG_BYTES: Final = 32_768  # what takes longer to search than a thread takes to begin
SEARCHERS: Final = ThreadPoolExecutor(2, thread_name_prefix="search")


class Guardable(Protocol):
    """What is known of a call."""

    request: dict[str, Any]  # what a backend is to get; guards change it
    body: bytes  # what was asked, as it came
    answer: bytes  # what was answered, where that came whole
    model: str
    user: str


class Guarding:
    """One call under guard."""

    def __init__(self, watch: Watch, call: Guardable, ask: AskModel) -> None:
        self.record = Guarded()
        self._watch = watch
        self._call = call
        self._ask = ask
        self._placeholders = Placeholders()
        self._beside: list[asyncio.Task[None]] = []
        self._has_asked_again = False
        self._reader: GuardedReader | None = None

    async def check_request(self) -> None:
        """Every guard of the input in its order. Raises ApiError."""
        began = time.perf_counter()
        try:
            for guard in self._watch.input:
                if guard.is_beside:
                    self._beside.append(self._begin_beside(guard))
                else:
                    await self._judge_request(guard)
        except ApiError:
            self.close()
            raise
        finally:
            self.record.took_s += time.perf_counter() - began
        if self._watch.output or self._beside or self._placeholders.values:
            self.record.placeholders = tuple(sorted(self._placeholders.values))
            self.record.wait, self.record.check_answer = self._wait_beside, self.check_answer
            self.record.begin_stream, self.record.finish_stream = self.begin_stream, self.finish_stream

    async def check_answer(self, answer: Document) -> Document:
        """What the client gets of a whole answer. Raises ApiError, a retryable one where the model is asked again."""
        began = time.perf_counter()
        try:
            await self._wait_beside()
            for guard in self._watch.output:
                answer = await self._judge_answer(guard, answer)
        finally:
            self.record.took_s += time.perf_counter() - began
        return self._restore(answer)

    def begin_stream(self, reader: Reader, passed: bytes, ended: bool) -> tuple[Reader, bytes]:
        """The reader as the guards let it through, and what it had already passed. Raises ApiError."""
        is_flowing = bool(self._placeholders.values) or any(map(_flows, self._watch.output))
        self._reader = GuardedReader(
            reader, self._open_flow if is_flowing else None, self._change_answer, self._may_go_on
        )
        return cast(Reader, self._reader), self._reader.begin(passed, ended=ended)

    async def finish_stream(self) -> bytes:
        """What a stream still held back. Raises ApiError where guards that need the whole answer say no."""
        reader, began = self._reader, time.perf_counter()
        if reader is None:
            return b""
        try:
            await self._wait_beside()
            answer = reader.document()
            for guard in self._watch.output:
                if answer and not _flows(guard):
                    await self._judge_answer(guard, answer)
        finally:
            self.record.took_s += time.perf_counter() - began
        return reader.release()

    def close(self) -> None:
        """The call is over, whatever became of it."""
        for task in self._beside:
            task.cancel()

    async def _judge_request(self, guard: Guard) -> None:
        finding = await self._look(guard, self._subject("input", None))
        if not finding.found:
            return
        changed = finding.changed if guard.finder or guard.action == "mask" else None
        self._note(guard, "input", finding.found, changes=changed is not None)
        if changed is not None and guard.action != "flag" and not guard.is_beside:
            self._call.request = (
                changed  # that of a blocked request too: its span tells no more than the guard lets through
            )
            self.record.cut_tokens += finding.cut_tokens
        if guard.action == "block" or (guard.action == "mask" and changed is None):
            raise block(guard.name, "input", finding.found)

    async def _judge_answer(self, guard: Guard, answer: Document) -> Document:
        finding = await self._look(guard, self._subject("output", answer))
        if not finding.found:
            return answer
        if (
            guard.asks_again
            and not self._has_asked_again
            and (asked := ask_again(self._call.request, answer, finding.told))
        ):
            self._has_asked_again, self._call.request = True, asked
            self.record.verdicts.append(Verdict(guard.name, "retry", "output", finding.found))
            raise ApiError(400, GUARD_ASKS_AGAIN, f"the guard {guard.name!r}: {finding.told}", retryable=True)
        self._note(guard, "output", finding.found, changes=finding.changed is not None)
        if guard.action == "block" or (guard.action == "mask" and finding.changed is None):
            raise block(guard.name, "output", finding.found)
        return finding.changed if guard.action == "mask" and finding.changed is not None else answer

    def _subject(self, where: Where, answer: Document | None) -> Subject:
        return Subject(where, self._call.model, self._call.request, answer, self._call.user, self._ask)

    async def _look(self, guard: Guard, subject: Subject) -> Finding:
        try:
            if guard.finder:
                return await self._search(guard, guard.finder, subject)
            assert guard.judge is not None
            async with asyncio.timeout(guard.timeout_s):
                return await guard.judge(subject)
        except (GuardFailedError, TimeoutError) as error:
            why = str(error) or f"it took longer than {guard.timeout_s:g} s"
            self.record.verdicts.append(Verdict(guard.name, "error", subject.where, {"failed": 1}))
            if guard.on_error == "pass":
                return Finding({})
            raise ApiError(503, GUARD_FAILED, f"the guard {guard.name!r} could not do its work: {why}") from error

    async def _search(self, guard: Guard, finder: Finder, subject: Subject) -> Finding:
        """In a thread where there is much to read: it would hold up the other calls."""
        write = self._write_reversible(guard)
        if len(self._call.body if subject.answer is None else self._call.answer) <= LONG_BYTES:
            return search(finder, subject, write)
        return await asyncio.get_running_loop().run_in_executor(SEARCHERS, search, finder, subject, write)

    def _write_reversible(self, guard: Guard) -> Any:
        if not guard.is_reversible or guard.finder is None:
            return None
        write, placeholders = guard.finder.write, self._placeholders
        return lambda one, value: placeholders.note(write(one, value), value)

    def _note(self, guard: Guard, where: Any, found: Mapping[str, int | float], *, changes: bool) -> None:
        action = "block" if guard.action == "mask" and not changes else guard.action
        self.record.verdicts.append(Verdict(guard.name, action, where, found))

    async def _wait_beside(self) -> None:
        for task in self._beside:
            await task

    def _begin_beside(self, guard: Guard) -> asyncio.Task[None]:
        task = asyncio.create_task(self._judge_request(guard))
        # Where the call fails before it is asked what this one says, nobody asks.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    def _may_go_on(self) -> bool:
        """Whether anything of a stream may leave before its end."""
        if any(not _flows(guard) and guard.action != "flag" for guard in self._watch.output):
            return False
        for task in self._beside:
            if task.done() and (error := task.exception()):
                raise error
        return all(task.done() for task in self._beside)

    def _open_flow(self, place: Place) -> Flow:
        flows: list[Flow] = [self._find_in(guard) for guard in self._watch.output if _flows(guard)]
        if self._placeholders.values:
            flows.append(RestoringFlow(self._placeholders, place))
        return Flows(flows)

    def _find_in(self, guard: Guard) -> Flow:
        assert guard.finder is not None
        counts: Counter[str] = Counter()

        def note(one: Found) -> None:
            if not counts:
                self._note(guard, "output", counts, changes=True)  # counted on as the stream goes on
            counts[one.kind] += 1
            if guard.action == "block":
                raise block(guard.name, "output", counts)

        return FindingFlow(guard.finder, note)

    def _change_answer(self, answer: Document) -> Document:
        """What the flows do to the pieces of an answer, done to the whole."""
        for guard in self._watch.output:
            if guard.finder and _flows(guard):
                subject = self._subject("output", answer)
                answer = search(guard.finder, subject).changed or answer
        return self._restore(answer)

    def _restore(self, answer: Document) -> Document:
        if not self._placeholders.values:
            return answer
        return change_answer(answer, self._placeholders.restore)


def _flows(guard: Guard) -> bool:
    """Whether it works on a stream piece by piece; what only flags needs to hold nothing back, and looks at the end."""
    return guard.finder is not None and guard.action != "flag"
