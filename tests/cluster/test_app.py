"""The server on a real Ray cluster on this machine: two engine replicas on the CPU, one is killed."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import ray
import yaml
from pydantic import ValidationError
from ray import serve

from tests.conftest import picture
from tests.helpers import checkpoints
from tests.helpers.serving import TIMEOUT, encoded, encoded_document, failure, until
from ziprerank_integrations import (
    Page,
    PageError,
    QueryError,
    RemoteError,
    RemoteReranker,
    UnsupportedOptionError,
    ZipReranker,
)
from ziprerank_integrations.cluster.app import ClusterArgs, EngineDeployment, app, build_app
from ziprerank_integrations.connect import connect
from ziprerank_integrations.types import extended

ROOT = Path(__file__).resolve().parents[2]
PORT = 18_431
SIZE = (96, 96)

# Ray leaves sockets and files to the garbage collector when it shuts down.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        configure_logging=False,
        runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}},
    )
    yield
    serve.shutdown()
    ray.shutdown()


@pytest.fixture(scope="module")
def url(cluster: None, untied: Path) -> Iterator[str]:
    # A request that is lost with its replica gets a 504 or 408 in the end, and the client sends it again.
    serve.start(http_options={"host": "127.0.0.1", "port": PORT, "request_timeout_s": 15})
    application = build_app(
        {
            "model": str(untied),
            "num_gpus": 0,
            "num_cpus": 0.1,
            "min_replicas": 2,
            "max_replicas": 2,
            "ingress_cpus": 0.1,
            "timeout": 8,
        }
    )
    serve.run(application, name="pages", route_prefix="/")
    address = f"http://127.0.0.1:{PORT}"
    until(lambda: httpx.get(f"{address}/ready").status_code == 200)
    yield address


@pytest.fixture
def client(url: str) -> Iterator[RemoteReranker]:
    with RemoteReranker(url, retries=20, timeout=120) as client:
        yield client


def sets(n: int) -> list[list[Page]]:
    return [[Page.from_image(picture(10 * number + page, SIZE)) for page in range(5)] for number in range(n)]


def numbers_of(ranking: Any) -> list[Any]:
    return [(item.index, item.score, item.logit, item.evidence) for item in ranking]


@pytest.mark.slow
def test_a_cluster_ranks_exactly_as_a_local_engine(client: RemoteReranker, small: ZipReranker) -> None:
    pages = [*sets(1)[0], Page.from_text("The harbour library opens in May.")]
    assert numbers_of(client.rerank("blue", pages)) == numbers_of(small.rerank("blue", pages))
    pruned = client.with_options(keep_ratio=0.3).rerank("blue", pages, top_n=2)
    assert numbers_of(pruned) == numbers_of(small.with_options(keep_ratio=0.3).rerank("blue", pages, top_n=2))


@pytest.mark.slow
def test_errors_of_a_replica_are_those_of_the_engine(url: str, client: RemoteReranker) -> None:
    cut = Page.from_image(encoded(picture(1))[:300], name="cut")
    with pytest.raises(PageError, match=r"^cut: .*broken"):
        client.rerank("q", [sets(1)[0][0], cut])
    with pytest.raises(QueryError, match="at most 4,096"):
        client.rerank("word " * 4_100, sets(1)[0])
    body = {"query": "q", "documents": [encoded_document(1), {"image": "!!"}]}
    assert failure(httpx.post(f"{url}/v1/rerank", json=body)) == (422, "bad_document", 1)


@pytest.mark.slow
def test_a_page_is_cached_on_one_replica_only(client: RemoteReranker) -> None:
    rng = random.Random(1)
    pages = sets(10)
    for number in range(10):
        client.rerank("blue", pages[number][:4])
    again = [client.rerank("blue", rng.sample(pages[number][:4], 3)) for number in range(10)]
    cached = [ranking.usage.cached for ranking in again if ranking.usage is not None]
    # With random routing it would be about half of them.
    assert cached == [3] * 10


@pytest.mark.slow
def test_a_replica_that_dies_under_load_loses_no_request(
    url: str, client: RemoteReranker, small: ZipReranker
) -> None:
    pages = sets(6)
    expected = [numbers_of(small.rerank(f"question {number}", pages[number])) for number in range(6)]

    def rank(number: int) -> Any:
        return numbers_of(client.rerank(f"question {number % 6}", pages[number % 6]))

    def post_once(number: int) -> httpx.Response:
        body = {"query": "q", "documents": [encoded_document(number % 9, SIZE)]}
        return httpx.post(f"{url}/v1/rerank", json=body, timeout=TIMEOUT)

    for deployment in ("engine", "ingress"):
        with ThreadPoolExecutor(8) as pool:
            rankings = [pool.submit(rank, number) for number in range(60)]
            responses = [pool.submit(post_once, number) for number in range(20)]
            until(lambda rankings=rankings: sum(ranking.done() for ranking in rankings) > 5)
            kill(deployment)
            for number, ranking in enumerate(rankings):
                assert ranking.result() == expected[number % 6]
            for future in responses:
                response = future.result()
                if deployment == "engine":
                    # The application still runs, so its responses are rankings or temporary errors.
                    assert response.status_code == 200 or failure(response)[0] in (429, 503, 504)
                    assert response.status_code == 200 or "retry-after" in response.headers
        until(lambda: httpx.get(f"{url}/ready").status_code == 200)


def kill(deployment: str) -> None:
    actors = ray.util.list_named_actors(all_namespaces=True)
    replicas = [actor for actor in actors if f"#{deployment}#" in actor["name"]]
    ray.kill(ray.get_actor(**random.choice(replicas)))


def test_arguments_come_from_a_file_or_the_command_line() -> None:
    config = yaml.safe_load((ROOT / "examples" / "cluster" / "serve.yaml").read_text())
    serve.schema.ServeDeploySchema.model_validate(config)
    [application] = config["applications"]
    assert application["import_path"] == "ziprerank_integrations.cluster:build_app"
    assert ClusterArgs.model_validate(application["args"]).max_replicas == 4
    # It listens on all addresses, so it needs a key.
    assert config["http_options"]["host"] == "0.0.0.0" and application["args"]["api_key_env"]
    build_app(application["args"])
    # `serve run` passes the arguments of the command line as strings.
    assert ClusterArgs.model_validate({"num_gpus": "0.5", "max_side": "512"}).num_gpus == 0.5
    with pytest.raises(ValidationError, match="colour"):
        build_app({"colour": "blue"})
    assert isinstance(app, serve.Application)


# Notebook 08 runs the example too.
@pytest.mark.slow
@pytest.mark.soak
def test_the_parquet_example(cluster: None, tmp_path: Path, untied: Path, small: ZipReranker) -> None:
    import pyarrow
    from pyarrow import parquet

    path = ROOT / "examples" / "rank_parquet.py"
    spec = importlib.util.spec_from_file_location("rank_parquet", path)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    images = [[encoded(picture(10 * row + page, SIZE)) for page in range(3)] for row in range(4)]
    queries = [f"question {row}" for row in range(4)]
    table = pyarrow.table({"id": [7, 8, 9, 10], "query": queries, "pages": images})
    parquet.write_table(table, tmp_path / "in.parquet")
    ray.data.DataContext.get_current().enable_progress_bars = False
    example.rank(str(tmp_path / "in.parquet"), str(tmp_path / "out"), model=str(untied), cpus=0.5)
    rows = {row["id"]: row for row in parquet.read_table(tmp_path / "out").to_pylist()}
    assert sorted(rows) == [7, 8, 9, 10] and set(rows[7]) == {"id", "ranking", "scores"}
    for row, query in enumerate(queries):
        expected = small.rerank(query, [Page.from_image(data) for data in images[row]])
        assert list(rows[7 + row]["ranking"]) == [item.index for item in expected]
        assert list(rows[7 + row]["scores"]) == [item.score for item in expected]


async def test_a_replica_is_unhealthy_after_three_unexpected_failures(untied: Path) -> None:
    engine = EngineDeployment({"model": str(untied)})
    page = Page.from_image(picture(1, SIZE))

    class Broken(Page):
        def fingerprint(self) -> str:
            raise RuntimeError("the device has failed")

    async def fail(page: Page, error: type[Exception], times: int) -> None:
        for _ in range(times):
            with pytest.raises(error):
                await engine.rerank("q", [page], None, {}, names=[])
            engine.check_health()

    await fail(Broken(page.origin), RuntimeError, 2)
    assert (await engine.rerank("q", [page], None, {"keep_ratio": 0.5}, names=[]))["results"][0]["index"] == 0
    await fail(Page.from_image(b"no image"), PageError, 5)
    await fail(Broken(page.origin), RuntimeError, 2)
    with pytest.raises(RuntimeError, match="device has failed"):
        await engine.rerank("q", [Broken(page.origin)], None, {}, names=[])
    with pytest.raises(RuntimeError, match="last 3 requests"):
        engine.check_health()
    assert await engine.info() == (str(untied), engine._reranker.sizes)


INSTRUCTED: list[dict[str, Any]] = [{}, {"instruction": "Find a page about ships."}]


async def test_a_replica_with_a_pointwise_checkpoint(pointwise: Path) -> None:
    pages = [Page.from_image(picture(seed, SIZE)) for seed in range(6)]
    engine = EngineDeployment({"model": str(pointwise)})
    local = extended(connect(model=str(pointwise)))
    for changes in INSTRUCTED:
        own = local.with_options(**changes).rerank("blue", pages)
        response = await engine.rerank("blue", pages, None, changes, names=[])
        assert [(item["index"], item["relevance_score"]) for item in response["results"]] == [
            (item.index, pytest.approx(item.score, rel=1e-5)) for item in own
        ]
        assert response["scale"] == own.scale == "absolute"


@pytest.mark.slow
def test_a_cascade_on_a_cluster(url: str, pointwise: Path, untied: Path) -> None:
    options = {"model": str(untied), "first_model": str(pointwise), "first_keep": 2}
    pages = [Page.from_image(encoded(picture(seed, SIZE))) for seed in range(6)]
    serve.run(
        build_app({"num_gpus": 0, "num_cpus": 0.1, "ingress_cpus": 0.1, **options}),
        name="cascade",
        route_prefix="/cascade",
    )
    until(lambda: httpx.get(f"{url}/cascade/ready").status_code == 200)
    local = extended(connect(**options))
    assert httpx.get(f"{url}/cascade/v1/model").json()["id"] == local.model
    with RemoteReranker(f"{url}/cascade", timeout=60) as client:
        for changes in INSTRUCTED:
            own = local.with_options(**changes).rerank("blue", pages)
            ranking = client.with_options(**changes).rerank("blue", pages)
            assert [(item.index, item.score) for item in ranking] == [
                (item.index, pytest.approx(item.score, rel=1e-5)) for item in own
            ]
            assert ranking.scale == own.scale == "relative"
    serve.delete("cascade")
    with RemoteReranker(url, instruction="Find a page about ships.") as client:
        with pytest.raises(RemoteError, match="instruction needs a pointwise") as caught:
            client.rerank("blue", pages)
    assert (caught.value.status, caught.value.code) == (422, "unsupported_option")


async def test_a_replica_reports_an_option_that_needs_another_as_unsupported(tmp_path: Path) -> None:
    own = {"scorer": "pointwise", "order": "vision-first", "selection": "embedder", "max_side": 64}
    engine = EngineDeployment({"model": str(checkpoints.make(tmp_path, ziprerank=own))})
    with pytest.raises(UnsupportedOptionError, match="needs the option embedder"):
        await engine.rerank("q", [Page.from_image(picture(1, SIZE))], None, {"keep_ratio": 0.5}, names=[])
