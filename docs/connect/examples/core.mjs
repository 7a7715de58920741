// A matching core for Penstock in Node 18 or later, without packages: limit orders by price, then time; all commands.
//
//     node core.mjs redis://127.0.0.1:6379/0 penstock '{"1": ["BTC-USDT", 2, 6], "2": ["ETH-USDT", 2, 5]}'
//
// It keeps nothing: each start executes the whole command stream again, so never trim that. What it wrote before it
// writes again, and Redis refuses that. It reads no clock and draws no number: the same stream gives the same events.
// It ends when Redis is away: start it again. Other order types are refused with 2008, and no id is ever forgotten.
// Each order looks through all that are open: a core for many of them keeps books. What has 64 bits is a BigInt here,
// and a string on the wire. The last third of the file speaks to Redis.

import { randomUUID } from "node:crypto";
import net from "node:net";

const OTHER = ["stop_px", "quote_qty", "display_qty", "min_qty", "expire_at"]; // of order types that this core has not
const LONG = new Set(["cmd_id", "deadline", "t_recv", "sent_at", "order_id", "qty", "price", ...OTHER]);
const DEFAULTS = { price: 0n, qty: 0n, order_id: 0n, instrument: 0, side: 0, ord_type: 0, tif: -1, flags: 0, stp: 0,
  cl_ord_id: "", orig_cl_ord_id: "", req_id: "", tag: "", only_session: false, keep_exempt: false };
const HEAD = ["cmd_id", "account", "session", "origin", "t_recv", "deadline"];
const RUN = { D: "place", F: "change", G: "change", q: "massCancel", H: "ask" };
const [LIMIT, GTC, IOC, EXEMPT, RETRY, DUPLICATE] = [2, 1, 3, 4, 16, 1 << 16];
const BARS = 10_000_000_000n; // ns that a mass cancel bars orders of other gateways that came before it
const text = (value) => JSON.stringify(value, (_, part) => (typeof part === "bigint" ? part.toString() : part));
const lowest = (one, other) => (one < other ? one : other);

function read(json) { // the commands in an entry; an exception if one of them is none
  return JSON.parse(json).map((each) => {
    if (!RUN[each.type] || HEAD.some((name) => each[name] === undefined)) throw new Error(`no command: ${text(each)}`);
    const c = { ...DEFAULTS };
    for (const [name, value] of Object.entries(each)) c[name] = LONG.has(name) ? BigInt(value) : value;
    return { ...c, lane: c.cmd_id >> 39n, n: c.cmd_id & ((1n << 39n) - 1n) };
  });
}

// Whether the command says of each name what the order has, or nothing.
const fits = (order, c, ...names) => names.every((name) => c[name] === DEFAULTS[name] || c[name] === order[name]);

// Whether a mass cancel means this order.
const isMeant = (order, c) => order.account === c.account && fits(order, c, "instrument", "side", "tag") &&
  !(c.only_session && order.session !== c.session) && !(c.keep_exempt && order.flags & EXEMPT);

class Core {
  nodes = new Map(); highest = new Map(); seq = new Map(); sweeps = [];
  known = new Map(); open = new Map(); // account and one of its ids -> order; order_id -> order, the oldest first
  lastSession = 0; orderId = 0n; execId = 0n; tradeId = 0n;

  constructor(prefix, instruments, epoch) {
    Object.assign(this, { key: `{${prefix}}:`, instruments, epoch });
  }

  take(entry, fields) { // what one entry of the command stream writes, in order: [stream, id, fields]
    const node = this.node = fields.node;
    [this.events, this.answers, this.now] = [[], [], BigInt(entry.split("-")[0]) * 1_000_000n]; // the only clock
    if (fields.hello) return [this.welcome(entry, "welcome", JSON.parse(fields.hello))];
    if (fields.join) return [this.welcome(entry, "joined", JSON.parse(fields.join))];
    if ("bye" in fields) this.nodes.delete(node);
    if (!this.nodes.has(node)) return [];
    if (fields.leave) {
      for (const account of JSON.parse(fields.leave)) this.nodes.get(node).accounts.delete(account);
      return [];
    }
    let commands;
    try {
      commands = read(fields.j);
    } catch (error) {
      return [this.tell(entry, node, { error: `not understood: ${error.message}` })];
    }
    this.sweeps = this.sweeps.filter(({ at }) => this.now - at < BARS);
    for (const c of commands) {
      if (c.n <= (this.highest.get(c.lane) ?? 0n)) continue; // it was executed before
      this.highest.set(c.lane, c.n);
      this.lastSession = Math.max(this.lastSession, c.session);
      this[RUN[c.type]](c);
    }
    const rows = [...new Set(this.events.map((each) => each.account))].map((account) => {
      const own = this.events.filter((each) => each.account === account);
      return [`${this.key}events:${account}`, `${own.at(-1).seq}-0`, { j: text(own) }];
    });
    for (const [name, known] of this.nodes) {
      const told = this.events.filter((each) => known.accounts.has(each.account));
      if (name === node) told.push(...this.answers);
      if (told.length || name === node) rows.push(this.tell(entry, name, { j: text(told) })); // its acknowledgement
    }
    return rows;
  }

  tell(entry, node, fields) {
    const known = this.nodes.get(node), prev = known.latest;
    known.latest = entry;
    return [`${this.key}node:${node}`, entry, { ...fields, prev }];
  }

  welcome(entry, answer, { accounts = [], sessions = [] }) {
    const known = this.nodes.get(this.node) ?? { latest: "0-0", accounts: [] };
    const hosted = new Set([...accounts, ...(answer === "joined" ? known.accounts : [])]);
    this.nodes.set(this.node, { latest: known.latest, accounts: hosted });
    const numbers = (session) => [0n, 1n, 2n, 3n].map((lane) =>
      Number(this.highest.get(BigInt(session) * 4n + lane) ?? 0n));
    const highest = sessions.map((session) => [session, numbers(session)]).filter(([, all]) => all.some(Boolean));
    const latest = accounts.map((account) => [account, Number(this.seq.get(account) ?? 0n)]);
    const told = { epoch: this.epoch, last_session: this.lastSession, highest: Object.fromEntries(highest),
      latest: Object.fromEntries(latest) };
    const orders = [...this.open.values()].filter((order) => accounts.includes(order.account));
    return this.tell(entry, this.node, { [answer]: JSON.stringify(told), j: text(orders.map((o) => this.state(o))) });
  }

  event(cmd_id, fields) {
    const seq = (this.seq.get(fields.account) ?? 0n) + 1n;
    this.seq.set(fields.account, seq);
    this.events.push({ ...fields, seq, cmd_id, t_core: this.now });
  }

  report(order, exec_type, cmd_id, more = {}) {
    this.event(cmd_id, { type: "8", ...order, exec_id: ++this.execId, exec_type, ...more });
  }

  state(order, cmd_id = 0n, seq = 0n) {
    return { type: "8", seq, cmd_id, t_core: this.now, exec_id: 0n, exec_type: "I", ...order };
  }

  whyNot(c) { // the code that an order or a replace is refused with, 0 = none
    const isLate = ({ sweep, node }) => node !== this.node && c.t_recv < sweep.t_recv && isMeant(c, sweep);
    if (c.deadline < 0n) return Number(-c.deadline);
    if (0n < c.deadline && c.deadline < this.now) return 5003;
    if (c.type === "D" && this.sweeps.some(isLate)) return 5006;
    if (c.flags & 11 || c.stp > 1 || OTHER.some((name) => c[name])) return 2008;
    return c.price <= 0n ? 2004 : c.qty <= 0n ? 2005 : 0;
  }

  place(c) {
    const known = this.known.get(`${c.account} ${c.cl_ord_id}`);
    if (known && c.flags & RETRY) {
      const state = this.state(known, c.cmd_id, this.seq.get(c.account));
      this.answers.push({ ...state, flags: known.flags | DUPLICATE });
      return;
    }
    const { account, cl_ord_id, instrument, side, ord_type, tif, qty, price, tag, session, origin } = c;
    const order = { account, cl_ord_id, instrument, side, ord_type, tif, qty, price, tag, session, origin, status: "0",
      flags: c.flags & ~RETRY, order_id: 0n, cum_qty: 0n, leaves_qty: qty, cum_quote: 0n, created_at: this.now };
    const isOther = ord_type !== LIMIT || ![GTC, IOC].includes(tif) || !this.instruments[instrument];
    const code = known ? 4003 : this.whyNot(c) || (isOther ? 2008 : 0);
    if (code) {
      const refused = { ...order, order_id: known?.order_id ?? 0n, status: "8", leaves_qty: 0n };
      this.report(refused, "8", c.cmd_id, { code });
      return;
    }
    order.order_id = ++this.orderId;
    for (const key of [`${account} ${cl_ord_id}`, `${account}#${order.order_id}`]) this.known.set(key, order);
    this.report(order, "0", c.cmd_id);
    this.match(order, c.cmd_id);
  }

  match(taker, cmd_id) { // trade with whoever is best, then first; what is left rests, or is cancelled
    const sign = taker.side === 1 ? 1n : -1n;
    const makers = [...this.open.values()].filter((each) => each.instrument === taker.instrument &&
      each.side !== taker.side && sign * (taker.price - each.price) >= 0n);
    for (const maker of makers.sort((one, other) => Number(sign * (one.price - other.price)))) {
      if (!taker.leaves_qty) break;
      const last_qty = lowest(taker.leaves_qty, maker.leaves_qty), last_px = maker.price, trade_id = ++this.tradeId;
      for (const [order, cause] of [[taker, cmd_id], [maker, 0n]]) {
        order.cum_qty += last_qty;
        order.leaves_qty -= last_qty;
        order.cum_quote += last_qty * last_px;
        order.status = order.leaves_qty ? "1" : "2";
        this.report(order, "F", cause, { last_qty, last_px, trade_id, maker: order === maker });
      }
      if (!maker.leaves_qty) this.open.delete(maker.order_id);
    }
    if (taker.leaves_qty && taker.tif === GTC) this.open.set(taker.order_id, taker);
    else if (taker.leaves_qty) this.end(taker, cmd_id, { code: 4008 });
  }

  end(order, cmd_id, more) {
    this.open.delete(order.order_id);
    Object.assign(order, { leaves_qty: 0n, status: "4" });
    this.report(order, "4", cmd_id, more);
  }

  find(c, cl_ord_id) {
    return this.known.get(`${c.account} ${cl_ord_id}`) ?? this.known.get(`${c.account}#${c.order_id}`);
  }

  change(c) { // a cancel, or a replace: that puts an order behind all others of its price
    const order = this.find(c, c.orig_cl_ord_id), isReplace = c.type === "G";
    let code = !order ? 4002 : order.leaves_qty ? 0 : 4004;
    if (isReplace && !code) {
      code = this.known.has(`${c.account} ${c.cl_ord_id}`) ? 4003 : this.whyNot(c);
      code ||= c.qty <= order.cum_qty ? 4004 : fits(order, c, "side", "ord_type", "tif") ? 0 : 2008;
    }
    const { account, cl_ord_id, session, qty, price } = c, orig_cl_ord_id = order?.cl_ord_id ?? "";
    if (code) {
      const { order_id, status } = order ?? { order_id: 0n, status: "8" };
      this.event(c.cmd_id, { type: "9", account, cl_ord_id, orig_cl_ord_id: c.orig_cl_ord_id || orig_cl_ord_id,
        order_id, status, response_to: isReplace ? "2" : "1", code, session });
    } else if (isReplace) {
      this.open.delete(order.order_id);
      this.known.set(`${account} ${cl_ord_id}`, order);
      Object.assign(order, { cl_ord_id, qty, price, leaves_qty: qty - order.cum_qty });
      this.report(order, "5", c.cmd_id, { orig_cl_ord_id });
      this.match(order, c.cmd_id);
    } else this.end(order, c.cmd_id, { cl_ord_id, orig_cl_ord_id });
  }

  massCancel(c) {
    this.sweeps.push({ sweep: c, node: this.node, at: this.now });
    const meant = [...this.open.values()].filter((order) => isMeant(order, c));
    const code = { 3: 6001, 6: 6001, 4: 6002, 5: 6003 }[c.origin] ?? 0;
    for (const order of meant) this.end(order, c.cmd_id, { code });
    const { account, cl_ord_id, session } = c;
    this.event(c.cmd_id, { type: "r", account, cl_ord_id, affected: meant.length, session });
  }

  ask(c) {
    const found = c.cl_ord_id || c.order_id ? [this.find(c, c.cl_ord_id)] : [...this.open.values()];
    const meant = found.filter((order) => order?.account === c.account && fits(order, c, "instrument"));
    const { cmd_id, account, req_id, session } = c, orders = meant.map((order) => this.state(order, cmd_id));
    const seq = this.seq.get(account) ?? 0n;
    this.answers.push({ type: "AF", account, seq, cmd_id, t_core: this.now, req_id, session, orders });
  }
}

function parse(data, at) { // one reply of Redis and where it ends; undefined: more of it is to come
  const end = data.indexOf("\r\n", at);
  if (end < 0) return undefined;
  const line = data.toString("utf8", at + 1, end), count = Number(line), kind = String.fromCharCode(data[at]);
  let next = end + 2;
  if (kind === "-") return [new Error(line), next];
  if (kind !== "$" && kind !== "*") return [line, next];
  if (count < 0) return [null, next];
  if (kind === "$")
    return data.length < next + count + 2 ? undefined : [data.toString("utf8", next, next + count), next + count + 2];
  const list = [];
  while (list.length < count) {
    const found = parse(data, next);
    if (!found) return undefined;
    list.push(found[0]);
    next = found[1];
  }
  return [list, next];
}

async function connect(url) { // a function that sends one command and gives its reply
  const { hostname, port, username, password, pathname } = new URL(url), waiting = [];
  const socket = net.connect(Number(port || 6379), hostname);
  let data = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    data = Buffer.concat([data, chunk]);
    for (let found; (found = parse(data, 0)); data = data.subarray(found[1])) waiting.shift()(found[0]);
  });
  socket.on("error", () => {}).on("close", () => process.exit(1));
  const ask = (...words) => new Promise((resolve) => {
    waiting.push(resolve);
    socket.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`);
  });
  if (password) await ask("AUTH", ...(username ? [username] : []), password);
  if (pathname.length > 1) await ask("SELECT", pathname.slice(1));
  return ask;
}

const fieldsOf = (list) => Object.fromEntries(list.flatMap((name, at) => (at % 2 ? [] : [[name, list[at + 1]]])));
const [url, prefix, instruments] = process.argv.slice(2);
const key = `{${prefix}}:`, reader = await connect(url), writer = await connect(url);
await writer("HSETNX", `${key}core`, "epoch", `e-${randomUUID().slice(0, 8)}`); // one name while Redis has the streams
const core = new Core(prefix, JSON.parse(instruments), await writer("HGET", `${key}core`, "epoch"));
await writer("HSET", `${key}core`, "version", "1", "encoding", "json", "instruments", instruments);
for (let position = "0-0"; ; ) {
  const told = await reader("XREAD", "COUNT", "256", "BLOCK", "1000", "STREAMS", `${key}commands`, position);
  if (told instanceof Error) throw told;
  const writing = [];
  for (const [entry, fields] of told?.[0][1] ?? []) {
    position = entry;
    for (const [stream, id, said] of core.take(entry, fieldsOf(fields)))
      writing.push(writer("XADD", stream, id, ...Object.entries(said).flat()));
  }
  for (const done of await Promise.all(writing))
    if (done instanceof Error && !done.message.includes("equal or smaller")) throw done; // else it was written before
}
