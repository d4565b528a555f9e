"""The limits of the API, counted when a request arrives, as fixed and as sliding windows.

A server of this kind counts arrivals per client. Which of the two windows it uses is not
documented, so both are enforced by default and a client has to please both.
"""

import collections


class Window:
    """At most `limit` arrivals in `length` seconds; limit 0: no limit."""

    def __init__(self, limit, length, shape):
        self.limit = limit
        self.length = length
        self.shape = shape
        self.arrivals = collections.deque()
        self.fixed = None
        self.count = 0

    def wait(self, now):
        """Seconds until the next arrival would be accepted; 0: now."""
        if not self.limit:
            return 0
        waits = [0]
        if self.shape in ("sliding", "both"):
            while self.arrivals and self.arrivals[0] <= now - self.length:
                self.arrivals.popleft()
            if len(self.arrivals) >= self.limit:
                waits.append(self.arrivals[0] + self.length - now)
        if self.shape in ("fixed", "both"):
            if self.fixed != now // self.length:
                self.fixed, self.count = now // self.length, 0
            if self.count >= self.limit:
                waits.append((self.fixed + 1) * self.length - now)
        return max(waits)

    def arrive(self, now):
        """Count an accepted arrival."""
        self.arrivals.append(now)
        self.count += 1


class Limits:
    """The windows of every client, and of the endpoints that have their own."""

    def __init__(self, settings):
        self.settings = settings
        self.windows = {}

    def forget(self):
        """Start anew."""
        self.windows = {}

    def _of(self, client, path):
        settings = self.settings
        shape = settings.rate_window
        wanted = {(client, "second"): (settings.rate_per_second, 1),
                  (client, "hour"): (settings.rate_per_hour, settings.hour_seconds)}
        for endpoint, per_minute in settings.endpoint_limits.items():
            if path == endpoint or path.startswith(endpoint + "/"):
                wanted[(client, endpoint)] = (per_minute, settings.hour_seconds / 60)
        for key, (limit, length) in wanted.items():
            window = self.windows.get(key)
            if window is None or (window.limit, window.length) != (limit, length):
                self.windows[key] = Window(limit, length, shape)
        return [self.windows[key] for key in wanted]

    def admit(self, client, path, now):
        """0 if the request may pass (it is counted then), else seconds to wait."""
        windows = self._of(client, path)
        wait = max(window.wait(now) for window in windows)
        if wait <= 0:
            for window in windows:
                window.arrive(now)
        return wait
