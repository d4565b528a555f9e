"""Many sessions at once: threads with a connection each."""

import threading
import time

import psycopg2
import tpmtest


class Member(threading.Thread):
    """A session that runs a function until it returns; keeps its result or error."""

    def __init__(self, cluster, dbname, function, settings=""):
        super().__init__(daemon=True)
        self.cluster, self.dbname, self.function, self.settings = cluster, dbname, function, settings
        self.result = self.error = None
        self.pid = None
        self.ready = threading.Event()
        self.start_now = threading.Event()

    def connect(self):
        connection = self.cluster.connect(self.dbname)
        if self.settings:
            tpmtest.rows(connection, self.settings)
        return connection

    def run(self):
        try:
            connection = self.connect()
            self.pid = connection.get_backend_pid()
            self.ready.set()
            self.start_now.wait(60)
            self.result = self.function(self, connection)
            connection.close()
        except psycopg2.Error as error:
            self.error = error
        finally:
            self.ready.set()


class Crowd:
    """Members that begin at the same moment."""

    def __init__(self, cluster, dbname, functions, settings=""):
        self.members = [Member(cluster, dbname, function, settings) for function in functions]
        for member in self.members:
            member.start()
        for member in self.members:
            assert member.ready.wait(60)

    def begin(self):
        for member in self.members:
            member.start_now.set()
        return self

    def join(self, timeout=120):
        deadline = time.monotonic() + timeout
        for member in self.members:
            member.join(max(deadline - time.monotonic(), 0.01))
            assert not member.is_alive(), "a session is still at work"
        return self

    @property
    def results(self):
        return [member.result for member in self.members]

    @property
    def errors(self):
        return [member.error for member in self.members if member.error is not None]


def asking(query):
    """A member that asks once."""
    return lambda member, connection: tpmtest.rows(connection, query)


def asking_until(query, deadline, fresh=False):
    """A member that asks again and again until the clock (monotonic) says so; how often it was answered."""
    def ask(member, connection):
        answered = 0
        while time.monotonic() < deadline():
            try:
                tpmtest.rows(connection, query)
            except psycopg2.errors.QueryCanceled:
                break
            answered += 1
            if fresh:
                connection.close()
                connection = member.connect()
        return answered
    return ask
