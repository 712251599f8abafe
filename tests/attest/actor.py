"""A process that calls the agent, honestly or not: one command per line in, one answer per line out.

Speaks HTTP/2 by hand, so that it can share, split and hand over a connection as no library would.
"""
import array
import os
import socket
import struct
import sys
import threading

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = struct.pack(">I", 0)[1:] + bytes([4, 0]) + struct.pack(">I", 0)
HERE = os.path.abspath(__file__)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def request(stream, path):
    def literal(index, value):
        return bytes([index, len(value)]) + value.encode()

    # :method POST, :scheme http, :path, :authority
    return frame(1, 0x5, stream, b"\x83\x86" + literal(0x04, path) + literal(0x01, "agent.test"))


def read_exactly(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def reply(sock, stream, enough=None):
    """The body of one stream's reply, or how it ended instead."""
    body = b""
    try:
        while True:
            head = read_exactly(sock, 9)
            length, kind, flags = struct.unpack(">I", b"\0" + head[:3])[0], head[3], head[4]
            payload = read_exactly(sock, length)
            if kind == 4 and not flags & 1:
                sock.sendall(frame(4, 1, 0))
            if kind == 6 and not flags & 1:
                sock.sendall(frame(6, 1, 0, payload))
            if kind == 3:
                return "reset"
            if struct.unpack(">I", head[5:])[0] != stream:
                continue
            if kind == 0:
                body += payload
                if enough and enough in body:
                    return body.decode()
            if kind in (0, 1) and flags & 1:
                return body.decode() or "empty"
    except (EOFError, ConnectionError):
        return "closed"


class Actor:
    def __init__(self, sock=None, stream=1):
        self.sock, self.stream = sock, stream

    def call(self, path, sock=None):
        sock, stream = sock or self.sock, self.stream
        self.stream += 2
        try:
            sock.sendall(request(stream, path))
        except ConnectionError:
            return "closed"
        return reply(sock, stream)

    def connect(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(path)
        self.socket = path
        self.stream = 1
        try:
            self.sock.sendall(PREFACE + SETTINGS)
        except ConnectionError:
            pass  # the next call will tell
        return "ok"

    def thread(self, path):
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.call(path)))
        thread.start()
        thread.join()
        return answers[0]

    def fork(self, path):
        """A forked child calls on the inherited connection."""
        return self.in_child(lambda: self.call(path))

    def in_child(self, act):
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(theirs, act().encode())
            os._exit(0)
        os.close(theirs)
        with os.fdopen(ours) as answers:
            answer = answers.read()
        os.waitpid(child, 0)
        return answer

    def mixed(self, path):
        """The parent sends the first half of a request, a child the second."""
        whole = request(self.stream, path)
        self.sock.sendall(whole[:12])
        self.in_child(lambda: str(self.sock.send(whole[12:])))
        return reply(self.sock, self.stream)

    def handover(self, path):
        """The connection is sent to a process that never was a relative of it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        helper = os.fork()
        if helper == 0:
            self.sock.close()
            ours.close()
            _, fds, _, _ = socket.recv_fds(theirs, 1, 1)
            given = socket.socket(fileno=fds[0])
            theirs.sendall(self.call(path, given).encode())
            os._exit(0)
        theirs.close()
        socket.send_fds(ours, [b"x"], [self.sock.fileno()])
        answer = ours.recv(4096).decode()
        os.waitpid(helper, 0)
        return answer

    def descriptors(self, count):
        """A PING with descriptors in tow."""
        fds = array.array("i", [0] * int(count))
        ping = frame(6, 0, 0, b"12345678")
        self.sock.sendmsg([ping], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        return reply(self.sock, 0)

    def orphan(self, path):
        """This process ends; then its child calls, and answers in its place."""
        return self.heir(lambda: self.call(path))

    def eavesdrop(self, path):
        """This process opens a stream and ends; its child only listens."""
        self.sock.sendall(request(self.stream, path))
        heard = reply(self.sock, self.stream, enough=b"open")
        return self.heir(lambda: "%s after %s" % (reply(self.sock, self.stream), heard))

    def flood(self, path):
        """Requests that are taken back at once (CVE-2023-44487)."""
        try:
            for _ in range(5000):
                reset = frame(3, 0, self.stream, struct.pack(">I", 8))
                self.sock.sendall(request(self.stream, path) + reset)
                self.stream += 2
        except ConnectionError:
            return "closed"
        return self.call("/who")

    def traced(self, path):
        """The call is made by a child that this process traces."""

        def act():
            import ctypes

            ctypes.CDLL(None).ptrace(0, 0, 0, 0)  # PTRACE_TRACEME
            self.connect(self.socket)
            return self.call(path)

        return self.in_child(act)

    def hide(self, _):
        """Nobody without CAP_SYS_PTRACE may look at this process any more."""
        import ctypes

        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
        return "ok"

    def become(self, user):
        os.setresgid(int(user), int(user), int(user))
        os.setresuid(int(user), int(user), int(user))
        return "ok"

    def reborn(self, path):
        """As `orphan`, but the call is made by a grandchild that has this process's number."""
        number = os.getpid()

        def act():
            for _ in range(100):
                with open("/proc/sys/kernel/ns_last_pid", "w") as last:
                    last.write(str(number - 1))
                ours, theirs = os.pipe()
                child = os.fork()
                if child == 0:
                    if os.getpid() == number:
                        inherited = self.call(path)
                        self.connect(self.socket)
                        own = self.call(path)
                        os.write(theirs, ("reborn %s %s" % (inherited, own)).encode())
                    os._exit(0)
                os.close(theirs)
                answer = os.read(ours, 4096).decode()
                os.close(ours)
                os.waitpid(child, 0)
                if answer:
                    return answer
            return "never got the number"

        return self.heir(act)

    def heir(self, act):
        alive, held = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(held)
            os.read(alive, 1)  # the end of file: the parent has exited
            # Its number is free once it was reaped.
            while os.path.exists("/proc/%d" % self.parent):
                pass
            print(act(), flush=True)
            os._exit(0)
        os._exit(0)

    def exec_same(self, _):
        """The same program once more, with the connection."""
        os.set_inheritable(self.sock.fileno(), True)
        os.execv(sys.executable, [sys.executable, HERE, str(self.sock.fileno()), str(self.stream)])

    def exec_other(self, path):
        """Another program, which sends a request on the connection."""
        os.dup2(self.sock.fileno(), 9)
        text = "".join("\\%03o" % byte for byte in request(self.stream, path))
        script = "printf '%s' >&9; echo sent; read line" % text
        os.execv("/bin/sh", ["sh", "-c", script])

    def pid(self, _):
        return str(os.getpid())

    parent = os.getpid()


def main():
    actor = Actor()
    if len(sys.argv) > 2:
        actor = Actor(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
        print("again", flush=True)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        answer = getattr(actor, command)(argument)
        print(answer, flush=True)


main()
