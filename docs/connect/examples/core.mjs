// A matching core for Penstock in Node 18 or later, without packages: limit orders by price, then time; cancel, mass
// cancel, questions.
//
//     node core.mjs redis://127.0.0.1:6379/0 penstock '{"1": ["BTC-USDT", 2, 6], "2": ["ETH-USDT", 2, 5]}'
//
// It keeps nothing: each start executes the whole command stream again, so never trim that. What it wrote before it
// writes again, and Redis refuses that. It reads no clock and draws no number: the same stream gives the same events.
// It ends when Redis is away: start it again. Other order types and replaces are refused with 2008, and no id is ever
// forgotten. What has 64 bits is a BigInt here, and a string on the wire. The last third of the file speaks to Redis.

import { randomUUID } from "node:crypto";
import net from "node:net";

const LONG = new Set(["cmd_id", "deadline", "t_recv", "sent_at", "expire_at", "order_id", "qty", "price", "stop_px",
  "quote_qty", "display_qty", "min_qty"]);
const DEFAULTS = { price: 0n, flags: 0, order_id: 0n, cl_ord_id: "", orig_cl_ord_id: "", instrument: 0, side: 0,
  tag: "", only_session: false, keep_exempt: false, open_only: true };
const HEAD = ["cmd_id", "account", "session", "origin", "t_recv", "deadline"];
const NEEDS = { D: [...HEAD, "ord_type", "tif", "qty"], H: [...HEAD, "req_id"] };
const RUN = { D: "place", F: "cancel", G: "cancel", q: "massCancel", H: "ask" };
const [LIMIT, GTC, IOC, EXEMPT, RETRY, DUPLICATE] = [2, 1, 3, 4, 16, 1 << 16];
const BARS = 10_000_000_000n; // ns that a mass cancel bars orders of other gateways that came before it
const text = (value) => JSON.stringify(value, (_, part) => (typeof part === "bigint" ? part.toString() : part));

function read(json) { // the commands in an entry; an exception if one of them is none
  return JSON.parse(json).map((each) => {
    const c = { ...DEFAULTS };
    for (const [name, value] of Object.entries(each)) c[name] = LONG.has(name) ? BigInt(value) : value;
    if (!RUN[c.type]) throw new Error(`type ${c.type}`);
    const missing = (NEEDS[c.type] ?? HEAD).filter((name) => c[name] === undefined);
    if (missing.length) throw new Error(`${c.type} without ${missing}`);
    return { ...c, lane: c.cmd_id >> 39n, n: c.cmd_id & ((1n << 39n) - 1n) };
  });
}

function isMeant(order, c) { // whether a mass cancel of its account means this order
  return ["instrument", "side", "tag"].every((name) => !c[name] || c[name] === order[name]) &&
    (!c.only_session || order.session === c.session) && !(c.keep_exempt && order.flags & EXEMPT);
}

class Core {
  highest = new Map(); accounts = new Map(); books = new Map(); nodes = new Map();
  sweeps = []; lastSession = 0; orderId = 0n; execId = 0n; tradeId = 0n;

  constructor(prefix, instruments, epoch) {
    Object.assign(this, { key: `{${prefix}}:`, instruments, epoch });
  }

  take(entry, fields) { // what one entry of the command stream writes, in order: [stream, id, fields]
    const node = this.node = fields.node;
    [this.events, this.answers, this.now] = [[], [], BigInt(entry.split("-")[0]) * 1_000_000n]; // the only clock
    if (fields.hello) return [this.welcome(entry, node, "welcome", JSON.parse(fields.hello))];
    if (fields.join) return [this.welcome(entry, node, "joined", JSON.parse(fields.join))];
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
    for (const c of commands) {
      if (c.n <= (this.highest.get(c.lane) ?? 0n)) continue; // it was executed before
      this.highest.set(c.lane, c.n);
      this.lastSession = Math.max(this.lastSession, c.session);
      this[RUN[c.type]](c, this.account(c.account));
    }
    const rows = [...new Set(this.events.map((each) => each.account))].map((account) => {
      const own = this.events.filter((each) => each.account === account);
      return [`${this.key}events:${account}`, `${own.at(-1).seq}-0`, { j: text(own) }];
    });
    for (const [name, known] of this.nodes) {
      const told = this.events.filter((each) => known.accounts.has(each.account));
      if (name === node) told.push(...this.answers);
      if (told.length || name === node) rows.push(this.tell(entry, name, { j: text(told) }));
    }
    return rows;
  }

  tell(entry, node, fields) {
    const known = this.nodes.get(node), prev = known.latest;
    known.latest = entry;
    return [`${this.key}node:${node}`, entry, { ...fields, prev }];
  }

  welcome(entry, node, answer, { accounts = [], sessions = [] }) {
    const known = this.nodes.get(node) ?? { latest: "0-0", accounts: [] };
    const hosted = new Set([...accounts, ...(answer === "joined" ? known.accounts : [])]);
    this.nodes.set(node, { latest: known.latest, accounts: hosted });
    const highest = {}, latest = {}, orders = [];
    for (const session of sessions) {
      const numbers = [0n, 1n, 2n, 3n].map((lane) => Number(this.highest.get(BigInt(session) * 4n + lane) ?? 0n));
      if (numbers.some(Boolean)) highest[session] = numbers;
    }
    for (const number of accounts) {
      const account = this.account(number);
      if (account.seq) latest[number] = Number(account.seq);
      orders.push(...[...account.open.values()].map((order) => this.state(order, 0n, 0n)));
    }
    const told = { epoch: this.epoch, last_session: this.lastSession, highest, latest };
    return this.tell(entry, node, { [answer]: JSON.stringify(told), j: text(orders) });
  }

  account(number) {
    if (!this.accounts.has(number))
      this.accounts.set(number, { seq: 0n, names: new Map(), orders: new Map(), open: new Map() });
    return this.accounts.get(number);
  }

  event(cmd_id, fields) {
    const seq = ++this.account(fields.account).seq;
    this.events.push({ ...fields, seq, cmd_id, t_core: this.now });
  }

  report(order, exec_type, cmd_id, more = {}) {
    this.event(cmd_id, { type: "8", ...order, exec_id: ++this.execId, exec_type, ...more });
  }

  state(order, seq, cmd_id) {
    return { type: "8", seq, cmd_id, t_core: this.now, exec_id: 0n, exec_type: "I", ...order };
  }

  place(c, account) {
    const known = account.names.get(c.cl_ord_id);
    if (known && c.flags & RETRY) {
      const found = this.state(known, account.seq, c.cmd_id);
      this.answers.push({ ...found, flags: known.flags | DUPLICATE });
      return;
    }
    const { cl_ord_id, instrument, side, ord_type, tif, qty, price, tag, session, origin } = c;
    const order = { account: c.account, cl_ord_id, instrument, side, ord_type, tif, qty, price, tag, session, origin,
      flags: c.flags & ~RETRY, cum_qty: 0n, cum_quote: 0n };
    const code = this.whyNot(c, known);
    if (code) {
      const refused = { order_id: known?.order_id ?? 0n, status: "8", leaves_qty: 0n, code };
      this.report({ ...order, ...refused }, "8", c.cmd_id);
      return;
    }
    Object.assign(order, { order_id: ++this.orderId, status: "0", leaves_qty: qty, created_at: this.now });
    account.names.set(cl_ord_id, order);
    account.orders.set(order.order_id, order);
    account.open.set(order.order_id, order);
    this.report(order, "0", c.cmd_id);
    this.match(order, c.cmd_id);
  }

  whyNot(c, known) { // the code that an order is refused with, 0 = none
    const more = c.stop_px || c.quote_qty || c.display_qty || c.min_qty || c.expire_at || c.stp > 1;
    const isOther = more || c.ord_type !== LIMIT || ![GTC, IOC].includes(c.tif) || c.flags & 11;
    const isLate = this.sweeps.some(({ sweep, node, at }) => sweep.account === c.account && node !== this.node &&
      c.t_recv < sweep.t_recv && this.now - at < BARS && isMeant(c, sweep));
    const rules = [
      [known, 4003], [c.deadline < 0n, Number(-c.deadline)], [isLate, 5006],
      [0n < c.deadline && c.deadline < this.now, 5003], [isOther, 2008],
      [!this.instruments[c.instrument], 2003], [c.price <= 0n, 2004], [c.qty <= 0n, 2005],
    ];
    return rules.find(([isSo]) => isSo)?.[1] ?? 0;
  }

  book(instrument, side) {
    const key = `${instrument} ${side}`;
    if (!this.books.has(key)) this.books.set(key, []);
    return this.books.get(key);
  }

  match(taker, cmd_id) {
    const own = this.book(taker.instrument, taker.side), other = this.book(taker.instrument, 3 - taker.side);
    const isWorse = (price, than) => (taker.side === 1 ? price < than : price > than);
    while (taker.leaves_qty && other.length && !isWorse(taker.price, other[0].price)) {
      const maker = other[0], last_px = maker.price, trade_id = ++this.tradeId;
      const last_qty = taker.leaves_qty < maker.leaves_qty ? taker.leaves_qty : maker.leaves_qty;
      for (const [order, cause] of [[taker, cmd_id], [maker, 0n]]) {
        order.cum_qty += last_qty;
        order.cum_quote += last_qty * last_px;
        this.change(order, order.leaves_qty - last_qty, order.leaves_qty > last_qty ? "1" : "2");
        this.report(order, "F", cause, { last_qty, last_px, trade_id, maker: order === maker });
      }
      if (!maker.leaves_qty) other.shift();
    }
    if (!taker.leaves_qty) return;
    if (taker.tif === GTC) {
      const at = own.findIndex((order) => isWorse(order.price, taker.price)); // after all others of its price
      own.splice(at < 0 ? own.length : at, 0, taker);
    } else {
      this.change(taker, 0n, "4");
      this.report(taker, "4", cmd_id, { code: 4008 });
    }
  }

  change(order, leaves_qty, status) {
    Object.assign(order, { leaves_qty, status });
    if (!leaves_qty) this.account(order.account).open.delete(order.order_id);
  }

  takeOut(order, cmd_id, more) {
    const book = this.book(order.instrument, order.side);
    book.splice(book.indexOf(order), 1);
    this.change(order, 0n, "4");
    this.report(order, "4", cmd_id, more);
  }

  cancel(c, account) { // a cancel; a replace is refused
    const order = account.names.get(c.orig_cl_ord_id) ?? account.orders.get(c.order_id);
    const code = !order ? 4002 : c.type === "G" ? 2008 : order.leaves_qty ? 0 : 4004;
    if (!code) {
      this.takeOut(order, c.cmd_id, { cl_ord_id: c.cl_ord_id, orig_cl_ord_id: order.cl_ord_id });
      return;
    }
    const { cl_ord_id: name, order_id, status } = order ?? { cl_ord_id: "", order_id: 0n, status: "8" };
    const names = { cl_ord_id: c.cl_ord_id, orig_cl_ord_id: c.orig_cl_ord_id || name, order_id };
    const response_to = c.type === "F" ? "1" : "2";
    this.event(c.cmd_id, { type: "9", account: c.account, ...names, status, response_to, code, session: c.session });
  }

  massCancel(c, account) {
    this.sweeps = this.sweeps.filter(({ at }) => this.now - at < BARS);
    this.sweeps.push({ sweep: c, node: this.node, at: this.now });
    const meant = [...account.open.values()].filter((order) => isMeant(order, c));
    const code = { 3: 6001, 6: 6001, 4: 6002, 5: 6003 }[c.origin] ?? 0;
    for (const order of meant) this.takeOut(order, c.cmd_id, { code });
    const { account: number, cl_ord_id, session } = c;
    this.event(c.cmd_id, { type: "r", account: number, cl_ord_id, affected: meant.length, session });
  }

  ask(c, account) {
    let found = [...(c.open_only ? account.open : account.orders).values()];
    if (c.cl_ord_id || c.order_id)
      found = [account.names.get(c.cl_ord_id) ?? account.orders.get(c.order_id)].filter(Boolean);
    const orders = found.filter((order) => !c.instrument || order.instrument === c.instrument);
    const { cmd_id, req_id, session } = c;
    this.answers.push({ type: "AF", account: c.account, seq: account.seq, cmd_id, t_core: this.now, req_id, session,
      orders: orders.map((order) => this.state(order, 0n, cmd_id)) });
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
