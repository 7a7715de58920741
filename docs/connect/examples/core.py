"""A matching core for Penstock in plain Python: limit orders by price, then time; cancel, mass cancel, questions.

    python core.py redis://127.0.0.1:6379/0 penstock '{"1": ["BTC-USDT", 2, 6], "2": ["ETH-USDT", 2, 5]}'

It keeps nothing: each start executes the whole command stream again, so never trim that. What it wrote before it writes
again, and Redis refuses that. It reads no clock and draws no number, so the same stream gives the same events. It ends
when Redis is away: start it again. Other order types and replaces are refused with 2008, and no id is ever forgotten.
Numbers of 64 bits are read as strings and written as numbers: Python's are exact, and a gateway reads both.
"""

import json
import sys
import uuid
from bisect import insort

import redis

LONG = {"cmd_id", "deadline", "t_recv", "sent_at", "expire_at", "order_id"} | {  # strings on the wire
    "qty", "price", "stop_px", "quote_qty", "display_qty", "min_qty"}  # fmt: skip
RUN = {"D": "place", "F": "cancel", "G": "cancel", "q": "mass_cancel", "H": "ask"}
HEAD = {"cmd_id", "account", "session", "origin", "t_recv", "deadline"}
NEEDS = {"D": HEAD | {"ord_type", "tif", "qty"}, "H": HEAD | {"req_id"}}
DEFAULTS = {"price": 0, "flags": 0, "order_id": 0, "cl_ord_id": "", "orig_cl_ord_id": "", "instrument": 0, "side": 0,
            "tag": "", "only_session": False, "keep_exempt": False, "open_only": True}  # fmt: skip
LIMIT, GTC, IOC, EXEMPT, RETRY, DUPLICATE = 2, 1, 3, 4, 16, 1 << 16
BARS_NS = 10_000_000_000  # a mass cancel bars orders of other gateways that came before it for this long
OF_ORDER = ("account", "cl_ord_id", "instrument", "side", "ord_type", "tif", "qty", "price", "tag", "session", "origin")


def read(text):
    """The commands in an entry; an exception if one of them is none."""
    commands = [{**DEFAULTS, **{k: int(v) if k in LONG else v for k, v in each.items()}} for each in json.loads(text)]
    for each in commands:
        if missing := NEEDS.get(each["type"], HEAD) - each.keys():
            raise ValueError(f"{each['type']} without {missing}")
        each["run"] = getattr(Core, RUN[each["type"]])
        each["lane"], each["n"] = divmod(each["cmd_id"], 1 << 39)
    return commands


def is_meant(order, c):
    """Whether a mass cancel of its account means this order."""
    return (
        not (c["keep_exempt"] and order["flags"] & EXEMPT)
        and (not c["only_session"] or order["session"] == c["session"])
        and all(c[name] in (DEFAULTS[name], order[name]) for name in ("instrument", "side", "tag"))
    )


class Core:
    def __init__(self, prefix, instruments, epoch):
        self.key, self.instruments, self.epoch = "{" + prefix + "}:", instruments, epoch
        self.highest, self.accounts, self.books, self.nodes, self.sweeps = {}, {}, {}, {}, []
        self.last_session = self.order_id = self.exec_id = self.trade_id = 0

    def take(self, entry, fields):
        """What one entry of the command stream writes, in order: (stream, id, fields)."""
        node, self.events, self.answers = fields.get("node"), [], []
        self.node, self.now = node, int(entry.split("-")[0]) * 1_000_000  # the only clock
        if "hello" in fields:
            return [self.welcome(entry, node, "welcome", **json.loads(fields["hello"]))]
        if "join" in fields:
            return [self.welcome(entry, node, "joined", **json.loads(fields["join"]))]
        if "bye" in fields:
            self.nodes.pop(node, None)
        if node not in self.nodes:
            return []
        if "leave" in fields:
            self.nodes[node]["accounts"] -= set(json.loads(fields["leave"]))
            return []
        try:
            commands = read(fields["j"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return [self.tell(entry, node, error=f"not understood: {error!r}")]
        for command in commands:
            if command["n"] > self.highest.get(command["lane"], 0):  # else it was executed before
                self.highest[command["lane"]] = command["n"]
                self.last_session = max(self.last_session, command["session"])
                command["run"](self, command, self.account(command["account"]))
        rows = []
        for account in dict.fromkeys(each["account"] for each in self.events):
            own = [each for each in self.events if each["account"] == account]
            rows.append((f"{self.key}events:{account}", f"{own[-1]['seq']}-0", {"j": json.dumps(own)}))
        for name, known in self.nodes.items():
            told = [each for each in self.events if each["account"] in known["accounts"]]
            told += self.answers if name == node else []
            if told or name == node:  # for who wrote the entry it is the acknowledgement
                rows.append(self.tell(entry, name, j=json.dumps(told)))
        return rows

    def tell(self, entry, node, **fields):
        before, self.nodes[node]["latest"] = self.nodes[node]["latest"], entry
        return f"{self.key}node:{node}", entry, fields | {"prev": before}

    def welcome(self, entry, node, answer, accounts=(), sessions=()):
        known = self.nodes.setdefault(node, {"latest": "0-0", "accounts": set()})
        known["accounts"] = set(accounts) | (known["accounts"] if answer == "joined" else set())
        highest = {s: [self.highest.get(s * 4 + lane, 0) for lane in range(4)] for s in sessions}
        latest = {number: self.account(number)["seq"] for number in accounts}
        orders = [self.state(each, 0, 0) for number in latest for each in self.account(number)["open"].values()]
        told = {"epoch": self.epoch, "last_session": self.last_session}
        told["highest"] = {session: numbers for session, numbers in highest.items() if any(numbers)}
        told["latest"] = {number: seq for number, seq in latest.items() if seq}
        return self.tell(entry, node, **{answer: json.dumps(told), "j": json.dumps(orders)})

    def account(self, number):
        return self.accounts.setdefault(number, {"seq": 0, "names": {}, "orders": {}, "open": {}})

    def event(self, cmd_id, fields):
        account = self.account(fields["account"])
        account["seq"] += 1
        self.events.append({**fields, "seq": account["seq"], "cmd_id": cmd_id, "t_core": self.now})

    def report(self, order, exec_type, cmd_id, **more):
        self.exec_id += 1
        self.event(cmd_id, {"type": "8", **order, "exec_id": self.exec_id, "exec_type": exec_type, **more})

    def state(self, order, seq, cmd_id):
        head = {"type": "8", "seq": seq, "cmd_id": cmd_id, "t_core": self.now, "exec_id": 0, "exec_type": "I"}
        return {**head, **order}

    def place(self, c, account):
        known = account["names"].get(c["cl_ord_id"])
        if known and c["flags"] & RETRY:
            found = self.state(known, account["seq"], c["cmd_id"])
            self.answers.append({**found, "flags": known["flags"] | DUPLICATE})
            return
        order = {name: c[name] for name in OF_ORDER} | {"flags": c["flags"] & ~RETRY, "cum_qty": 0, "cum_quote": 0}
        if code := self.why_not(c, known):
            refused = {"order_id": known["order_id"] if known else 0, "status": "8", "leaves_qty": 0, "code": code}
            self.report({**order, **refused}, "8", c["cmd_id"])
            return
        self.order_id += 1
        order |= {"order_id": self.order_id, "status": "0", "leaves_qty": c["qty"], "created_at": self.now}
        account["names"][c["cl_ord_id"]] = account["orders"][self.order_id] = account["open"][self.order_id] = order
        self.report(order, "0", c["cmd_id"])
        self.match(order, c["cmd_id"], 1 if c["side"] == 1 else -1)

    def why_not(self, c, known):
        """The code that an order is refused with, 0 = none."""
        is_other = c["ord_type"] != LIMIT or c["tif"] not in (GTC, IOC) or c["flags"] & 11 or c.get("stp", 0) > 1
        is_other |= any(c.get(name) for name in ("stop_px", "quote_qty", "display_qty", "min_qty", "expire_at"))
        is_late = any(
            c["account"] == sweep["account"] and node != self.node and c["t_recv"] < sweep["t_recv"]
            and self.now - at < BARS_NS and is_meant(c, sweep) for sweep, node, at in self.sweeps
        )  # fmt: skip
        rules = (
            (known, 4003), (c["deadline"] < 0, -c["deadline"]), (is_late, 5006),
            (0 < c["deadline"] < self.now, 5003), (is_other, 2008),
            (str(c["instrument"]) not in self.instruments, 2003), (c["price"] <= 0, 2004), (c["qty"] <= 0, 2005),
        )  # fmt: skip
        return next((code for is_so, code in rules if is_so), 0)

    def match(self, taker, cmd_id, sign):
        own, other = (self.books.setdefault((taker["instrument"], s), []) for s in (taker["side"], 3 - taker["side"]))
        while taker["leaves_qty"] and other and sign * (taker["price"] - other[0]["price"]) >= 0:
            maker, self.trade_id = other[0], self.trade_id + 1
            qty, price = min(taker["leaves_qty"], maker["leaves_qty"]), maker["price"]
            for order, cause in ((taker, cmd_id), (maker, 0)):
                order["cum_qty"], order["cum_quote"] = order["cum_qty"] + qty, order["cum_quote"] + qty * price
                self.change(order, order["leaves_qty"] - qty, "1" if order["leaves_qty"] > qty else "2")
                trade = {"last_qty": qty, "last_px": price, "trade_id": self.trade_id, "maker": order is maker}
                self.report(order, "F", cause, **trade)
            if not maker["leaves_qty"]:
                other.pop(0)
        if taker["leaves_qty"] and taker["tif"] == GTC:
            insort(own, taker, key=lambda order: -sign * order["price"])  # after all others of its price
        elif taker["leaves_qty"]:
            self.change(taker, 0, "4")
            self.report(taker, "4", cmd_id, code=4008)

    def change(self, order, leaves, status):
        order["leaves_qty"], order["status"] = leaves, status
        if not leaves:
            del self.account(order["account"])["open"][order["order_id"]]

    def take_out(self, order, cmd_id, **more):
        self.books[order["instrument"], order["side"]].remove(order)
        self.change(order, 0, "4")
        self.report(order, "4", cmd_id, **more)

    def cancel(self, c, account):
        """A cancel; a replace is refused."""
        order = account["names"].get(c["orig_cl_ord_id"]) or account["orders"].get(c["order_id"])
        code = 4002 if not order else 2008 if c["type"] == "G" else 0 if order["leaves_qty"] else 4004
        if not code:
            self.take_out(order, c["cmd_id"], cl_ord_id=c["cl_ord_id"], orig_cl_ord_id=order["cl_ord_id"])
            return
        order = order or {"cl_ord_id": "", "order_id": 0, "status": "8"}
        self.event(c["cmd_id"], {
            "type": "9", "account": c["account"], "cl_ord_id": c["cl_ord_id"], "order_id": order["order_id"],
            "orig_cl_ord_id": c["orig_cl_ord_id"] or order["cl_ord_id"], "status": order["status"], "code": code,
            "response_to": "1" if c["type"] == "F" else "2", "session": c["session"]})  # fmt: skip

    def mass_cancel(self, c, account):
        self.sweeps = [each for each in self.sweeps if self.now - each[2] < BARS_NS] + [(c, self.node, self.now)]
        meant = [each for each in account["open"].values() if is_meant(each, c)]
        for order in meant:
            self.take_out(order, c["cmd_id"], code={3: 6001, 6: 6001, 4: 6002, 5: 6003}.get(c["origin"], 0))
        head = {"type": "r", "account": c["account"], "cl_ord_id": c["cl_ord_id"], "session": c["session"]}
        self.event(c["cmd_id"], {**head, "affected": len(meant)})

    def ask(self, c, account):
        found = account["open" if c["open_only"] else "orders"].values()
        if c["cl_ord_id"] or c["order_id"]:
            found = filter(None, [account["names"].get(c["cl_ord_id"]) or account["orders"].get(c["order_id"])])
        orders = [self.state(each, 0, c["cmd_id"]) for each in found if c["instrument"] in (0, each["instrument"])]
        head = {"type": "AF", "account": c["account"], "seq": account["seq"], "cmd_id": c["cmd_id"], "t_core": self.now}
        self.answers.append({**head, "req_id": c["req_id"], "session": c["session"], "orders": orders})


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
