"""A relay between hawser and a real sshd that does harm on order.

    with FaultProxy(server.port) as proxy:   box.host("h", proxy) ...
        proxy.blackhole()                     all that is there, and comes, vanishes in silence

One thread, one selector. Orders are methods, safe from any thread, in force when they return. Times
are seconds. What a flow carried is in `flows`."""
import contextlib
import heapq
import selectors
import socket
import struct
import threading
import time

CHUNK = 65536
# So much is on its way per direction; more stays with its sender.
HELD_MAX = 1 << 20
UP, DOWN = "up", "down"  # client to server, server to client


class Half:
    """One direction of a flow: read from `src`, written to `dst` in order, each at its time."""

    def __init__(self, src, dst):
        self.src, self.dst = src, dst
        self.queue, self.held, self.bytes = [], 0, 0
        self.next_free = 0.0  # of the rate
        self.stalled = self.ended = self.end_sent = False
        self.cut_after = None


class Flow:
    """A connection of a client, and ours to the server behind it."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.halves = {UP: Half(client, server), DOWN: Half(server, client)}
        self.begun = self.last = time.monotonic()
        self.dead = False  # silently: nothing is read or written any more

    def sockets(self):
        return [s for s in (self.client, self.server) if s is not None]


class FaultProxy:
    def __init__(self, port):
        self.target = port
        self.lock = threading.RLock()
        self.flows = []
        self.selector = selectors.DefaultSelector()
        self.wake, self.waker = socket.socketpair()
        self.selector.register(self.wake, selectors.EVENT_READ, None)
        self.listener, self.port = None, 0
        self.running = True
        self.heal()
        self.listen()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    # ---- orders ------------------------------------------------------------------------------
    def heal(self):
        """No fault is done to what comes from now on. Flows that a fault has struck stay so, but
        for those in a black hole, which go on (TCP kept what was not taken)."""
        with self.lock:
            self.delay_s = self.rate = 0
            self.hole = {UP: False, DOWN: False}
            self.idle_s = self.age_s = self.largest = None
            self.at_accept, self.accepts = None, 0
            self.corrupt_next = {UP: False, DOWN: False}
            self._kick()

    def delay(self, seconds):
        """Each way; what is under way keeps its time."""
        with self.lock:
            self.delay_s = seconds

    def limit(self, bytes_per_second):
        """Each way, each flow."""
        with self.lock:
            self.rate = bytes_per_second

    def blackhole(self, up=True, down=True):
        """Nothing passes and nobody hears of it; new connections are taken, and go nowhere."""
        with self.lock:
            self.hole = {UP: up, DOWN: down}
            self._kick()

    def drop_idle(self, seconds):
        """As a NAT: a flow that was quiet for so long is silently dead from then on."""
        with self.lock:
            self.idle_s = seconds
            self._kick()

    def close_at_age(self, seconds):
        """As a load balancer: a flow is closed when it is so old."""
        with self.lock:
            self.age_s = seconds
            self._kick()

    def drop_large(self, size):
        """As a path MTU black hole: a piece larger than this stalls its direction for ever."""
        with self.lock:
            self.largest = size

    def corrupt(self, direction=DOWN):
        """A bit of the next piece in that direction is flipped."""
        with self.lock:
            self.corrupt_next[direction] = True

    def cut_after(self, size, direction=UP):
        """Each flow that is there is reset when so many more bytes went that way."""
        with self.lock:
            for flow in self.flows:
                half = flow.halves[direction]
                half.cut_after = half.bytes + size

    def reset(self):
        """RST to both sides of all flows."""
        self._end_all(True)

    def finish(self):
        """FIN to both sides of all flows."""
        self._end_all(False)

    def half_open(self):
        """The server's sides are closed; the client's stay open, and silent."""
        with self.lock:
            for flow in self.flows:
                flow.dead = True
                self._forget(flow.server)
                if flow.server is not None:
                    flow.server.close()
                flow.server = None

    def refuse(self):
        """Nobody listens any more; flows go on."""
        with self.lock:
            if self.listener is not None:
                self._forget(self.listener)
                self.listener.close()
            self.listener = None

    def listen(self):
        """The end of refuse(), on the same port."""
        with self.lock:
            self.listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
            self.port = self.listener.getsockname()[1]
            self.listener.setblocking(False)
            self.selector.register(self.listener, selectors.EVENT_READ, None)
            self._kick()

    def greet(self, how, times=1 << 30):
        """What the next connections get instead of the server: b"" a FIN, None a RST, other bytes:
        these, and a FIN."""
        with self.lock:
            self.at_accept, self.accepts = how, times

    def live(self):
        """Flows that no fault has ended."""
        with self.lock:
            return [f for f in self.flows if not f.dead]

    def close(self):
        with self.lock:
            self.running = False
            self._kick()
        self.thread.join(10)
        with self.lock:
            self.refuse()
            self._end_all(True)
            self.selector.close()
            self.wake.close()
            self.waker.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- how -----------------------------------------------------------------------------------
    def _kick(self):
        with contextlib.suppress(OSError):
            self.waker.send(b"x")

    def _forget(self, sock):
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(sock)

    def _end(self, flow, reset):
        for sock in flow.sockets():
            self._forget(sock)
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        flow.client = flow.server = None
        flow.dead = True
        if flow in self.flows:
            self.flows.remove(flow)

    def _end_all(self, reset):
        with self.lock:
            for flow in list(self.flows):
                self._end(flow, reset)

    def _accept(self):
        client, _ = self.listener.accept()
        if self.accepts > 0:
            self.accepts -= 1
            if self.at_accept is None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif self.at_accept:
                client.sendall(self.at_accept)
            client.close()
            return
        server = socket.create_connection(("127.0.0.1", self.target), 5)
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.flows.append(Flow(client, server))

    def _read(self, flow, way):
        half = flow.halves[way]
        try:
            data = half.src.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._end(flow, True)
            return
        now = time.monotonic()
        flow.last = now
        if not data:
            half.ended = True
        if self.largest is not None and len(data) > self.largest:
            half.stalled = True
        if data and self.corrupt_next[way]:
            self.corrupt_next[way] = False
            data = data[:-1] + bytes([data[-1] ^ 1])
        at = max(now + self.delay_s, half.next_free)
        if self.rate:
            at += len(data) / self.rate
        half.next_free = at
        heapq.heappush(half.queue, (at, len(half.queue) + half.bytes, data))
        half.bytes += len(data)
        half.held += len(data)
        if half.cut_after is not None and half.bytes >= half.cut_after:
            self._end(flow, True)

    def _write(self, flow, way, now):
        half = flow.halves[way]
        while half.queue and half.queue[0][0] <= now:
            at, order, data = half.queue[0]
            if not data:
                heapq.heappop(half.queue)
                half.end_sent = True
                with contextlib.suppress(OSError):
                    half.dst.shutdown(socket.SHUT_WR)
                continue
            try:
                sent = half.dst.send(data)
            except BlockingIOError:
                return
            except OSError:
                self._end(flow, True)
                return
            half.held -= sent
            heapq.heappop(half.queue)
            if sent < len(data):
                heapq.heappush(half.queue, (at, order, data[sent:]))
                return

    def _passes(self, flow, way):
        return not (flow.dead or self.hole[way] or flow.halves[way].stalled)

    def _by_time(self, flow, now):
        """Ends and deaths that come by themselves."""
        if self.age_s is not None and now - flow.begun >= self.age_s and not flow.dead:
            self._end(flow, False)
        elif self.idle_s is not None and now - flow.last >= self.idle_s:
            flow.dead = True
        elif all(half.end_sent for half in flow.halves.values()):
            self._end(flow, False)

    def _watch(self, flow, way, masks):
        half = flow.halves[way]
        if not self._passes(flow, way):
            return
        if not half.ended and half.held < HELD_MAX:
            masks[half.src] = masks.get(half.src, 0) | selectors.EVENT_READ
        if half.queue and half.queue[0][0] <= time.monotonic():
            masks[half.dst] = masks.get(half.dst, 0) | selectors.EVENT_WRITE

    def _register(self):
        masks, owners = {}, {}
        for flow in self.flows:
            for way in (UP, DOWN):
                self._watch(flow, way, masks)
            for sock in flow.sockets():
                owners[sock] = flow
        for sock, flow in owners.items():
            mask = masks.get(sock, 0)
            known = self.selector.get_map().get(sock)
            if known is None and mask:
                self.selector.register(sock, mask, flow)
            elif known is not None and not mask:
                self.selector.unregister(sock)
            elif known is not None and known.events != mask:
                self.selector.modify(sock, mask, flow)

    def _timeout(self, now):
        times = [half.queue[0][0] for flow in self.flows for half in flow.halves.values()
                 if half.queue and half.queue[0][0] > now]
        for flow in self.flows:
            if self.idle_s is not None and not flow.dead:
                times.append(flow.last + self.idle_s)
            if self.age_s is not None and not flow.dead:
                times.append(flow.begun + self.age_s)
        return max(0, min(times) - now) if times else None

    def _turn(self, ready):
        now = time.monotonic()
        for key, _ in ready:
            if key.fileobj is self.wake:
                self.wake.recv(4096)
            elif key.fileobj is self.listener:
                with contextlib.suppress(OSError):
                    self._accept()
            elif key.data in self.flows and key.events & selectors.EVENT_READ:
                flow = key.data
                way = UP if key.fileobj is flow.client else DOWN
                if self._passes(flow, way) and flow.halves[way].held < HELD_MAX:
                    self._read(flow, way)
        for flow in list(self.flows):
            for way in (UP, DOWN):
                if flow in self.flows and self._passes(flow, way):
                    self._write(flow, way, now)
            if flow in self.flows:
                self._by_time(flow, now)

    def _serve(self):
        while True:
            with self.lock:
                if not self.running:
                    return
                self._register()
                timeout = self._timeout(time.monotonic())
            ready = self.selector.select(timeout)
            with self.lock:
                self._turn(ready)
