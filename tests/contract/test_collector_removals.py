"""Something is removed while another request begins to use it: one of the two is rejected."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.collecting import Api, Json, World, details
from tests.inside import httpx
from tests.stores import on_each_store

ROUNDS = 12


def at_once(*asking: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """Return what each is answered when all ask at the same time."""
    answers: dict[int, httpx.Response] = {}
    barrier = threading.Barrier(len(asking))

    def ask(number: int) -> None:
        barrier.wait(60)
        answers[number] = asking[number]()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(asking))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [answers[number] for number in range(len(asking))]


def registering(api: Api, environment_id: str) -> Callable[[], httpx.Response]:
    """Return what registers a run in an environment."""
    body = api.registration(environment_id=environment_id)
    return lambda: api.post("/agent_instance/register", body)


def removing(api: Api, path: str) -> Callable[[], httpx.Response]:
    """Return what deletes something."""
    return lambda: api.http.delete(f"/api/v1{path}")


def made(api: Api, path: str, **said: Json) -> str:
    """Return the id of a new thing."""
    found: str = details(api.post(path, {"details": said}))["id"]
    return found


@on_each_store
def test_no_run_is_left_in_an_environment_that_was_deleted(world: World) -> None:
    """Either the registration gets a 404, or the removal a 409."""
    api = world.account()

    for _ in range(ROUNDS):
        environment = made(api, "/environment", name="x")
        registered, removed = at_once(
            registering(api, environment), removing(api, f"/environment/{environment}")
        )
        assert (registered.status_code, removed.status_code) in {(404, 200), (200, 409)}
        there = api.get(f"/environment/{environment}").status_code
        assert there == (200 if registered.status_code == 200 else 404)


@on_each_store
def test_no_run_is_left_under_a_deployment_that_was_deleted(world: World) -> None:
    """A registration that comes too late deploys the agent again."""
    api = world.account()

    for _ in range(ROUNDS):
        environment = made(api, "/environment", name="x")
        deployment = made(
            api, "/agent_deployment", agent_id=api.agent_id, environment_id=environment
        )
        registered, removed = at_once(
            registering(api, environment), removing(api, f"/agent_deployment/{deployment}")
        )
        run = details(registered)
        assert removed.status_code in {200, 409}
        assert (run["agent_deployment_id"] == deployment) == (removed.status_code == 409)
        details(api.get(f"/agent_deployment/{run['agent_deployment_id']}"))


@on_each_store
def test_something_is_deleted_once(world: World) -> None:
    """The later request gets a 404."""
    api = world.account()

    for _ in range(ROUNDS):
        remove = removing(api, f"/environment/{made(api, '/environment', name='x')}")
        statuses = [answer.status_code for answer in at_once(remove, remove, remove)]
        assert sorted(statuses) == [200, 404, 404]
