"""A matching core for Penstock in plain Python: limit orders by price, then time; all commands.

    python core.py redis://127.0.0.1:6379/0 penstock '{"1": ["BTC-USDT", 2, 6], "2": ["ETH-USDT", 2, 5]}'

It keeps nothing: each start executes the whole command stream again, so never trim that. What it wrote before it writes
again, and Redis refuses that. It reads no clock and draws no number, so the same stream gives the same events. It ends
when Redis is away: start it again. Other order types are refused with 2008, and no id is ever forgotten. Each order
looks through all that are open: a core for many of them keeps books.
Numbers of 64 bits are read as strings and written as numbers: Python's are exact, and a gateway reads both.
"""

import json
import sys
import uuid
from collections import Counter
from types import SimpleNamespace

import redis

OTHER = ["stop_px", "quote_qty", "display_qty", "min_qty", "expire_at"]  # of order types that this core has not
LONG = {"cmd_id", "deadline", "t_recv", "sent_at", "order_id", "qty", "price", *OTHER}  # strings on the wire
DEFAULTS = dict.fromkeys(["price", "qty", "order_id", "instrument", "side", "ord_type", "flags", "stp", *OTHER], 0) | {
    "cl_ord_id": "", "orig_cl_ord_id": "", "req_id": "", "tag": "", "tif": -1, "only_session": False,
    "keep_exempt": False}  # fmt: skip
HEAD = {"cmd_id", "account", "session", "origin", "t_recv", "deadline"}
RUN = {"D": "place", "F": "change", "G": "change", "q": "mass_cancel", "H": "ask"}
OF_ORDER = ("account", "cl_ord_id", "instrument", "side", "ord_type", "tif", "qty", "price", "tag", "session", "origin")
LIMIT, GTC, IOC, EXEMPT, RETRY, DUPLICATE = 2, 1, 3, 4, 16, 1 << 16
BARS_NS = 10_000_000_000  # a mass cancel bars orders of other gateways that came before it for this long


def read(text):
    """The commands in an entry; an exception if one of them is none."""
    for each in json.loads(text):
        c = SimpleNamespace(**DEFAULTS | {name: int(it) if name in LONG else it for name, it in each.items()})
        if c.type not in RUN or not each.keys() >= HEAD:
            raise ValueError(f"no command: {each}")
        c.lane, c.n = divmod(c.cmd_id, 1 << 39)
        yield c


def fits(order, c, *names):
    """Whether the command says of each name what the order has, or nothing."""
    return all(getattr(c, name) in (DEFAULTS[name], getattr(order, name)) for name in names)


def is_meant(order, c):
    """Whether a mass cancel means this order."""
    is_kept = (c.only_session and order.session != c.session) or (c.keep_exempt and order.flags & EXEMPT)
    return order.account == c.account and fits(order, c, "instrument", "side", "tag") and not is_kept


class Core:
    def __init__(self, prefix, instruments, epoch):
        self.key, self.instruments, self.epoch = "{" + prefix + "}:", instruments, epoch
        self.nodes, self.highest, self.seq, self.sweeps = {}, Counter(), Counter(), []
        self.known, self.open = {}, {}  # (account, one of its ids) -> order; order_id -> order, the oldest first
        self.last_session = self.order_id = self.exec_id = self.trade_id = 0

    def take(self, entry, fields):
        """What one entry of the command stream writes, in order: (stream, id, fields)."""
        self.node, self.events, self.answers = fields.get("node"), [], []
        self.now = int(entry.split("-")[0]) * 1_000_000  # the only clock
        if "hello" in fields:
            return [self.welcome(entry, "welcome", **json.loads(fields["hello"]))]
        if "join" in fields:
            return [self.welcome(entry, "joined", **json.loads(fields["join"]))]
        if "bye" in fields:
            self.nodes.pop(self.node, None)
        if self.node not in self.nodes:
            return []
        if "leave" in fields:
            self.nodes[self.node].accounts -= set(json.loads(fields["leave"]))
            return []
        try:
            commands = list(read(fields["j"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return [self.tell(entry, self.node, error=f"not understood: {error!r}")]
        self.sweeps = [each for each in self.sweeps if self.now - each[2] < BARS_NS]
        for c in commands:
            if c.n > self.highest[c.lane]:  # else it was executed before
                self.highest[c.lane], self.last_session = c.n, max(self.last_session, c.session)
                getattr(self, RUN[c.type])(c)
        rows = []
        for account in dict.fromkeys(each["account"] for each in self.events):
            own = [each for each in self.events if each["account"] == account]
            rows.append((f"{self.key}events:{account}", f"{own[-1]['seq']}-0", {"j": json.dumps(own)}))
        for name, known in self.nodes.items():
            told = [each for each in self.events if each["account"] in known.accounts]
            told += self.answers if name == self.node else []
            if told or name == self.node:  # for who wrote the entry it is the acknowledgement
                rows.append(self.tell(entry, name, j=json.dumps(told)))
        return rows

    def tell(self, entry, node, **fields):
        known = self.nodes[node]
        before, known.latest = known.latest, entry
        return f"{self.key}node:{node}", entry, fields | {"prev": before}

    def welcome(self, entry, answer, accounts=(), sessions=()):
        known = self.nodes.setdefault(self.node, SimpleNamespace(latest="0-0", accounts=set()))
        known.accounts = set(accounts) | (known.accounts if answer == "joined" else set())
        numbers = {session: [self.highest[session * 4 + lane] for lane in range(4)] for session in sessions}
        highest = {session: each for session, each in numbers.items() if any(each)}
        latest = {account: self.seq[account] for account in accounts}
        told = {"epoch": self.epoch, "last_session": self.last_session, "highest": highest, "latest": latest}
        orders = [self.state(order) for order in self.open.values() if order.account in accounts]
        return self.tell(entry, self.node, **{answer: json.dumps(told), "j": json.dumps(orders)})

    def head(self, account, seq, cmd_id):
        return {"account": account, "seq": seq, "cmd_id": cmd_id, "t_core": self.now}

    def event(self, cmd_id, account, **fields):
        self.seq[account] += 1
        self.events.append(self.head(account, self.seq[account], cmd_id) | fields)

    def report(self, order, exec_type, cmd_id, **more):
        self.exec_id += 1
        self.event(cmd_id, **{"type": "8", **vars(order), "exec_id": self.exec_id, "exec_type": exec_type, **more})

    def state(self, order, cmd_id=0, seq=0):
        return self.head(order.account, seq, cmd_id) | {"type": "8", "exec_id": 0, "exec_type": "I"} | vars(order)

    def why_not(self, c):
        """The code that an order or a replace is refused with, 0 = none."""
        if c.deadline < 0:
            return -c.deadline
        if 0 < c.deadline < self.now:
            return 5003
        came_before = [each for each, node, _ in self.sweeps if node != self.node and c.t_recv < each.t_recv]
        if c.type == "D" and any(is_meant(c, each) for each in came_before):
            return 5006
        is_other = c.flags & 11 or c.stp > 1 or any(getattr(c, name) for name in OTHER)
        return 2008 if is_other else 2004 if c.price <= 0 else 2005 if c.qty <= 0 else 0

    def place(self, c):
        known = self.known.get((c.account, c.cl_ord_id))
        if known and c.flags & RETRY:
            self.answers.append(self.state(known, c.cmd_id, self.seq[c.account]) | {"flags": known.flags | DUPLICATE})
            return
        order = SimpleNamespace(**{name: getattr(c, name) for name in OF_ORDER}, flags=c.flags & ~RETRY, status="0",
                                order_id=0, cum_qty=0, leaves_qty=c.qty, cum_quote=0, created_at=self.now)  # fmt: skip
        is_other = c.ord_type != LIMIT or c.tif not in (GTC, IOC) or str(c.instrument) not in self.instruments
        if code := 4003 if known else self.why_not(c) or 2008 * is_other:
            order.order_id, order.status, order.leaves_qty = known.order_id if known else 0, "8", 0
            self.report(order, "8", c.cmd_id, code=code)
            return
        self.order_id = order.order_id = self.order_id + 1
        self.known[c.account, c.cl_ord_id] = self.known[c.account, order.order_id] = order
        self.report(order, "0", c.cmd_id)
        self.match(order, c.cmd_id)

    def match(self, taker, cmd_id):
        """Trade with whoever is best, then first; what is left rests, or is cancelled."""
        sign = 1 if taker.side == 1 else -1
        others = [each for each in self.open.values() if each.instrument == taker.instrument]
        makers = [each for each in others if each.side != taker.side and sign * (taker.price - each.price) >= 0]
        for maker in sorted(makers, key=lambda order: sign * order.price):
            if qty := min(taker.leaves_qty, maker.leaves_qty):
                self.trade_id += 1
                for order, cause in ((taker, cmd_id), (maker, 0)):
                    order.cum_qty, order.leaves_qty = order.cum_qty + qty, order.leaves_qty - qty
                    order.cum_quote, order.status = (
                        order.cum_quote + qty * maker.price,
                        "1" if order.leaves_qty else "2",
                    )
                    trade = {"last_qty": qty, "last_px": maker.price, "trade_id": self.trade_id}
                    self.report(order, "F", cause, **trade, maker=order is maker)
                if not maker.leaves_qty:
                    del self.open[maker.order_id]
        if taker.leaves_qty and taker.tif == GTC:
            self.open[taker.order_id] = taker
        elif taker.leaves_qty:
            self.end(taker, cmd_id, code=4008)

    def end(self, order, cmd_id, **more):
        self.open.pop(order.order_id, None)
        order.leaves_qty, order.status = 0, "4"
        self.report(order, "4", cmd_id, **more)

    def find(self, c, cl_ord_id):
        return self.known.get((c.account, cl_ord_id)) or self.known.get((c.account, c.order_id))

    def change(self, c):
        """A cancel, or a replace: that puts an order behind all others of its price."""
        order, used_by = self.find(c, c.orig_cl_ord_id), self.known.get((c.account, c.cl_ord_id))
        code = 4002 if not order else 4004 if not order.leaves_qty else 0
        if c.type == "G" and not code:
            is_same = fits(order, c, "side", "ord_type", "tif")
            code = 4003 if used_by else self.why_not(c) or (4004 if c.qty <= order.cum_qty else 2008 * (not is_same))
        if code:
            order = order or SimpleNamespace(cl_ord_id="", order_id=0, status="8")
            names = {"cl_ord_id": c.cl_ord_id, "orig_cl_ord_id": c.orig_cl_ord_id or order.cl_ord_id}
            told = {"order_id": order.order_id, "status": order.status, "response_to": "1" if c.type == "F" else "2"}
            self.event(c.cmd_id, c.account, type="9", **names, **told, code=code, session=c.session)
        elif c.type == "F":
            self.end(order, c.cmd_id, cl_ord_id=c.cl_ord_id, orig_cl_ord_id=order.cl_ord_id)
        else:
            before, order.cl_ord_id, order.qty, order.price = order.cl_ord_id, c.cl_ord_id, c.qty, c.price
            order.leaves_qty = c.qty - order.cum_qty
            self.known[c.account, c.cl_ord_id] = self.open.pop(order.order_id)
            self.report(order, "5", c.cmd_id, orig_cl_ord_id=before)
            self.match(order, c.cmd_id)

    def mass_cancel(self, c):
        self.sweeps.append((c, self.node, self.now))
        meant = [order for order in self.open.values() if is_meant(order, c)]
        for order in meant:
            self.end(order, c.cmd_id, code={3: 6001, 6: 6001, 4: 6002, 5: 6003}.get(c.origin, 0))
        self.event(c.cmd_id, c.account, type="r", cl_ord_id=c.cl_ord_id, session=c.session, affected=len(meant))

    def ask(self, c):
        found = [self.find(c, c.cl_ord_id)] if c.cl_ord_id or c.order_id else self.open.values()
        meant = [order for order in found if order and order.account == c.account and fits(order, c, "instrument")]
        told = {"req_id": c.req_id, "session": c.session, "orders": [self.state(order, c.cmd_id) for order in meant]}
        self.answers.append(self.head(c.account, self.seq[c.account], c.cmd_id) | {"type": "AF"} | told)


def serve(url, prefix, instruments):
    store = redis.Redis.from_url(url, decode_responses=True, encoding_errors="replace")
    key, position = "{" + prefix + "}:", "0-0"
    store.hsetnx(key + "core", "epoch", f"e-{uuid.uuid4().hex[:8]}")  # one name for as long as Redis has the streams
    core = Core(prefix, json.loads(instruments), store.hget(key + "core", "epoch"))
    store.hset(key + "core", mapping={"version": "1", "encoding": "json", "instruments": instruments})
    while True:
        for _, entries in store.xread({key + "commands": position}, count=256, block=1000):
            pipe = store.pipeline(transaction=False)
            for position, fields in entries:
                for stream, entry, told in core.take(position, fields):
                    pipe.xadd(stream, told, entry)
            for done in pipe.execute(raise_on_error=False):
                if isinstance(done, redis.RedisError) and "equal or smaller" not in str(done):
                    raise done  # else an earlier life has written it


if __name__ == "__main__":
    serve(*sys.argv[1:4])
