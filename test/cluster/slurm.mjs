/** A Slurm of one node, this machine, with all its files in one folder: munge, the controller and the node's daemon. */
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { availableParallelism, hostname, totalmem, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { must } from "../helpers/packed.mjs";

/** Debian has daemons where the PATH of a user does not look. */
const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
const DAEMONS = ["munged", "slurmctld", "slurmd"];
const DAEMON_MS = 30_000;

/** The daemons that are not installed. */
export function missingDaemons() {
  const isThere = (name) => spawnSync("which", [name], { env: { ...process.env, PATH } }).status === 0;
  return DAEMONS.filter((name) => !isThere(name));
}

/** Asks until the answer is true; throws after `limit` milliseconds. */
export async function until(what, ask, limit) {
  const end = performance.now() + limit;
  while (!(await ask())) {
    if (performance.now() > end) throw new Error(`waited ${limit / 1000} s for ${what}`);
    await sleep(100);
  }
}

/** `count` ports that nobody has. */
async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => server.address().port);
  for (const server of servers) server.close();
  return ports;
}

function configuration(folder, [controller, node]) {
  const [name] = hostname().split(".");
  const { username } = userInfo();
  return `ClusterName=test
SlurmctldHost=${name}(127.0.0.1)
SlurmctldPort=${controller}
SlurmdPort=${node}
SlurmUser=${username}
SlurmdUser=${username}
AuthType=auth/munge
AuthInfo=socket=${folder}/munge.socket
CredType=cred/munge
StateSaveLocation=${folder}/state
SlurmdSpoolDir=${folder}/spool
SlurmctldPidFile=${folder}/slurmctld.pid
SlurmdPidFile=${folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
JobRequeue=1
NodeName=${name} NodeAddr=127.0.0.1 CPUs=${availableParallelism()} RealMemory=${Math.floor(totalmem() / 2 ** 21)} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
`;
}

/**
 * Starts it in `folder`, which is there and empty, and which others can enter: munge insists. `run` runs one of Slurm's
 * commands and returns what it prints; `stop` ends all jobs and daemons. Throws, with what the daemons said, if it does
 * not start.
 */
export async function startSlurm(folder) {
  for (const name of ["state", "spool"]) mkdirSync(join(folder, name));
  writeFileSync(join(folder, "munge.key"), randomBytes(128), { mode: 0o600 });
  writeFileSync(join(folder, "slurm.conf"), configuration(folder, await freePorts(2)));
  const env = { ...process.env, PATH, SLURM_CONF: join(folder, "slurm.conf") };
  const run = (name, ...args) => must(name, args, { env });
  const daemons = [];
  /** In the foreground, as children of this process: they are stopped by handle, not by a pid in a file. */
  const start = (name, ...args) => {
    const log = openSync(join(folder, `${name}.log`), "a");
    daemons.push(spawn(name, args, { env, cwd: folder, stdio: ["ignore", log, log] }));
    closeSync(log);
  };
  const stop = async () => {
    // What runs, at once; then what waits in the queue.
    for (const args of [["--full", "--signal=KILL"], []]) spawnSync("scancel", ["--me", ...args], { env });
    const isEmpty = () => spawnSync("squeue", ["--noheader"], { env, encoding: "utf8" }).stdout.trim() === "";
    await until("the end of all jobs", isEmpty, DAEMON_MS).catch(({ message }) => console.error(message));
    for (const daemon of daemons.reverse()) {
      if (daemon.exitCode !== null || daemon.signalCode !== null) continue;
      const ended = once(daemon, "exit");
      daemon.kill();
      const timer = setTimeout(() => daemon.kill("SIGKILL"), DAEMON_MS);
      await ended;
      clearTimeout(timer);
    }
  };
  const answers = (name, ...args) => spawnSync(name, args, { env }).status === 0;
  try {
    const files = ["socket", "pid", "seed"].map((name) => join(folder, `munge.${name}`));
    const [socket, pid, seed] = files;
    start(
      "munged",
      "--foreground",
      `--socket=${socket}`,
      `--pid-file=${pid}`,
      `--seed-file=${seed}`,
      `--key-file=${folder}/munge.key`,
    );
    await until("munge", () => answers("munge", "--no-input", `--socket=${socket}`), DAEMON_MS);
    start("slurmctld", "-D");
    await until("slurmctld", () => answers("scontrol", "ping"), DAEMON_MS);
    start("slurmd", "-D");
    await until("an idle node", () => run("sinfo", "--noheader", "--format=%T").trim() === "idle", DAEMON_MS);
  } catch (error) {
    await stop();
    const logs = DAEMONS.map((name) => join(folder, `${name}.log`)).filter((path) => existsSync(path));
    throw new Error(`${error.message}\n${logs.map((path) => readFileSync(path, "utf8")).join("\n")}`);
  }
  return { run, stop };
}
