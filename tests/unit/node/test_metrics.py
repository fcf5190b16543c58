"""What Prometheus reads is what the node is; names follow its conventions; nobody outside makes series."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from runtime.execution.core import NoEngine
from runtime.module import ModelUnknown
from runtime.network.simulated import run_simulation
from runtime.node.files import disk_bytes
from runtime.node.metrics import NodeMetrics
from runtime.node.timed_engine import TimedEngine
from runtime.rpc.metrics import HttpMetrics
from runtime.testing.node_simulator import SimulatedNodes
from runtime.types import Hash

PAGE = Path(__file__).parents[3] / "docs" / "operating.md"
Samples = dict[str, float]


def samples(text: bytes) -> Samples:
    """Every sample by its name and labels, as in the text."""
    found: Samples = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def all_metrics() -> NodeMetrics:
    """As a node with HTTP has them."""

    async def nothing() -> bytes:
        return b""

    metrics = NodeMetrics()
    HttpMetrics(metrics.registry, nothing)
    return metrics


def families() -> list[tuple[str, str, str, str]]:
    """Name as it is queried, kind, labels, help: of every metric that is ours."""
    rows = []
    for family in all_metrics().registry.collect():
        if family.name.startswith("armillary"):
            suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
            collector = all_metrics().registry._names_to_collectors[family.name + suffix]
            labels = ", ".join(getattr(collector, "_labelnames", ()))
            rows.append((family.name + suffix, family.type, labels, family.documentation))
    return rows


def test_the_numbers_are_those_of_the_chain(four: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with four.simulated(tmp_path, 5) as nodes:
            await nodes.start_all()
            for nonce in range(6):
                await nodes.committed(nodes.submit(0, four.take(nonce)), of=(0,))
                if nonce == 2:
                    await nodes.crash(3)
            nodes.submit(1, four.take(9))  # waits for those before it
            await trio.sleep(1)
            check_against_the_chain(four, nodes, samples(await nodes.node(1).metrics()))

    run_simulation(main, seed=5)


def check_against_the_chain(four: Any, nodes: SimulatedNodes, found: Samples) -> None:
    node, store = nodes.node(1), nodes.node(1).store
    tip = node.consensus.tip
    blocks = [store.block(height) for height in range(1, tip.height + 1)]
    assert found["armillary_height"] == tip.height
    assert found["armillary_peers"] == 2
    assert found["armillary_round"] == node.consensus.round
    assert found["armillary_last_block_time_seconds"] == pytest.approx(tip.time_ms / 1000)
    assert (found["armillary_validator_power"], found["armillary_validators_power"]) == (10, 40)
    assert found["armillary_mempool_transactions"] == 1
    assert found["armillary_mempool_bytes"] == len(four.take(9))
    assert found['armillary_blocks_total{source="consensus"}'] == tip.height
    assert found['armillary_transactions_total{outcome="ok"}'] == 3
    assert found['armillary_transactions_total{outcome="failed"}'] == 3
    proposed = sum(block is not None and block.header.proposer == four.keys[1].public_key for block in blocks)
    assert found["armillary_blocks_proposed_total"] == proposed > 0
    records = [block.last_certificate for block in blocks if block is not None and block.last_certificate is not None]
    signed = sum(four.keys[1].public_key in record.signers for record in records)
    assert found['armillary_precommits_total{outcome="signed"}'] == signed
    assert found['armillary_precommits_total{outcome="missed"}'] == len(records) - signed
    assert 0 < found["armillary_finality_seconds_count"] <= 6, "of those it had before their block"
    assert found['armillary_block_execution_seconds_count{purpose="judge"}'] > 0
    assert found["armillary_block_commit_seconds_count"] == tip.height
    assert found['armillary_sync_seconds_count{journal="consensus"}'] >= 2 * (tip.height - 1)
    assert found["armillary_gas_used_total"] > 6 * 1_000
    assert found['armillary_state_bytes{part="lmdb"}'] > 0
    assert found["process_resident_memory_bytes"] > 0
    certificates = [store.certificate(height) for height in range(1, tip.height + 1)]
    assert found["armillary_rounds_failed_total"] == sum(each.round for each in certificates if each is not None)
    away = samples(nodes.node(0).setup.metrics.text(Path("/nowhere")))
    assert away["armillary_height"] == 0, "another node's registry is another"


def test_a_validator_that_was_away_has_missed_what_it_did_not_sign(four: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with four.simulated(tmp_path, 6) as nodes:
            await nodes.start_all()
            await nodes.reach(2)
            await nodes.crash(3)
            for nonce in range(5):
                await nodes.committed(nodes.submit(0, four.take(nonce)))
            height = nodes.height(0)
            await nodes.start(3)
            await nodes.reach(height, of=(3,))
            found = samples(await nodes.node(3).metrics())
            assert found['armillary_precommits_total{outcome="missed"}'] >= 3
            assert found['armillary_blocks_total{source="sync"}'] >= 3

    run_simulation(main, seed=6)


def test_names_follow_the_conventions() -> None:
    rows = families()
    assert len(rows) > 25
    for name, kind, _, help_ in rows:
        assert re.fullmatch("armillary_[a-z_]+", name)
        assert help_.endswith(".")
        assert (kind == "counter") == name.endswith("_total")
        assert kind != "histogram" or name.endswith("_seconds")


def test_the_operators_page_has_every_metric() -> None:
    table = "\n".join(f"| `{name}` | {kind} | {labels} | {help_} |" for name, kind, labels, help_ in families())
    assert table in PAGE.read_text(), f"docs/operating.md should have this table:\n{table}"


async def test_http_is_counted_by_patterns_and_one_scrape_a_second_is_made() -> None:
    made = []

    async def text() -> bytes:
        made.append(1)
        return b"# nothing\n"

    metrics = NodeMetrics()
    http = HttpMetrics(metrics.registry, text)
    app = FastAPI()
    http.install(app)

    @app.get("/blocks/{height}")
    async def block(height: int) -> int:
        return height

    transport = httpx.ASGITransport(app=http.around(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
        for height in range(20):
            assert (await client.get(f"/blocks/{height}")).status_code == 200
            assert (await client.get(f"/no/such/{height}")).status_code == 404
            assert (await client.request(f"VERB{height}", "/blocks/1")).status_code == 405
            answer = await client.get("/metrics")
            assert answer.text == "# nothing\n"
            assert answer.headers["content-type"].startswith("text/plain; version=")
    assert len(made) == 1
    found = {
        key: value for key, value in samples(metrics.text(Path("/nowhere"))).items() if "http_requests_total" in key
    }
    assert found == {
        'armillary_http_requests_total{method="GET",path="/blocks/{height}",status="200"}': 20,
        'armillary_http_requests_total{method="GET",path="other",status="404"}': 20,
        'armillary_http_requests_total{method="other",path="/blocks/{height}",status="405"}': 20,
        'armillary_http_requests_total{method="GET",path="/metrics",status="200"}': 20,
    }


def test_a_timed_engine_is_the_same_engine() -> None:
    metrics = NodeMetrics()
    engine = TimedEngine(NoEngine(), metrics)
    for _ in range(2):
        with pytest.raises(ModelUnknown):
            engine.run(Hash(bytes(32)), bytes, ())
    assert engine.verification_gas(5, 5) == NoEngine().verification_gas(5, 5)
    assert samples(metrics.text(Path("/nowhere")))["armillary_inference_seconds_count"] == 2


def test_the_size_of_a_folder_is_what_it_takes_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "file").write_bytes(bytes(100_000))
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert 100_000 <= disk_bytes(tmp_path) < 1 << 20
    assert disk_bytes(tmp_path / "none") == 0
