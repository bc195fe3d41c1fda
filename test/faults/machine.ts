import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  globSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

/** What faults need of the machine: small disks that can be filled and unplugged, tracers, clocks. */

/**
 * Why a fault that needs the kernel's help cannot be made here; false where it can. Only these two reasons skip a
 * test: on Linux as root a tool that is missing makes the test fail, so that nobody takes its absence for a pass.
 */
export const noKernelFaults: string | false =
  process.platform !== 'linux'
    ? `mounts and tracers are made on Linux, and this is ${process.platform}`
    : process.getuid?.() !== 0 && 'mounts and tracers need root: run the tests as root';

/** Throws a sentence that says what to install. */
export function requireTool(name: string, packageName: string): void {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'];
  if (!folders.some((folder) => existsSync(join(folder, name))))
    throw new Error(`this test needs ${name}: apt-get install ${packageName}`);
}

/** Runs a command that must succeed. `otherwise` says what to do when it does not. */
export function run(command: readonly [string, ...string[]], otherwise = ''): string {
  const [file, ...words] = command;
  const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
  const { status, stdout, stderr, error } = spawnSync(file, words, {
    env: { ...process.env, PATH: path },
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (error !== undefined || status !== 0)
    throw new Error(`${command.join(' ')} failed: ${error?.message ?? stderr.trim()}. ${otherwise}`.trim());
  return stdout;
}

const mountHelp = 'The machine must allow mounts: run on a virtual machine, or in a container with --privileged.';

export interface Disk {
  /** Where it is mounted. */
  readonly path: string;
  /** Lets go of it; afterwards `path` is gone. Twice is once. */
  readonly remove: () => void;
}

/** A file system in memory of that many KiB. */
export function smallDisk(context: TestContext, kibibytes: number): Disk {
  const disk = newMountPoint(context);
  run(['mount', '-t', 'tmpfs', '-o', `size=${kibibytes}k,mode=0700`, 'chancery-test', disk.path], mountHelp);
  return disk;
}

export interface PluggedDisk extends Disk {
  /** What a power cut does: nothing that was not written through is on the disk. What runs on it gets I/O errors. */
  readonly cutPower: () => void;
  /** After `cutPower`, when nothing uses it any more: mounts it again, and the file system replays its journal. */
  readonly plugIn: () => void;
}

/** An ext4 file system of 256 MiB in a file on a loop device, whose power can be cut. */
export function pluggedDisk(context: TestContext): PluggedDisk {
  requireTool('mkfs.ext4', 'e2fsprogs');
  requireTool('xfs_io', 'xfsprogs');
  const folder = mkdtempSync(join(tmpdir(), 'chancery-disk-'));
  const image = join(folder, 'disk.img');
  const file = openSync(image, 'w', 0o600);
  ftruncateSync(file, 256 * 1_048_576);
  closeSync(file);
  run(['mkfs.ext4', '-q', '-F', image]);
  const disk = newMountPoint(context, folder);
  const mount = (): void => void run(['mount', '-o', 'loop', image, disk.path], mountHelp);
  mount();
  return {
    ...disk,
    // Without -f the file system does not write its journal first: the ioctl FS_IOC_GOINGDOWN with NOLOGFLUSH.
    cutPower: () => void run(['xfs_io', '-x', '-c', 'shutdown', disk.path]),
    plugIn() {
      run(['umount', disk.path]);
      mount();
    },
  };
}

/**
 * A folder to mount something on. However the test process ends, a shell that waits at a pipe which only this process
 * holds open lets go of the mount. The unmount is lazy, so that a server which is still running does not keep it.
 */
function newMountPoint(context: TestContext, alsoRemove = ''): Disk {
  const path = mkdtempSync(join(tmpdir(), 'chancery-mount-'));
  const script = 'read line; umount -l "$0" 2>/dev/null; rmdir "$0"; [ -z "$1" ] || rm -rf "$1"';
  const shell = spawn('sh', ['-c', script, path, alsoRemove], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  shell.unref();
  (shell.stdin as Socket).unref();
  let removed = false;
  const remove = (): void => {
    if (removed) return;
    removed = true;
    spawnSync('umount', ['-l', path], { stdio: 'ignore' });
    rmSync(path, { recursive: true, force: true });
    if (alsoRemove !== '') rmSync(alsoRemove, { recursive: true, force: true });
    shell.stdin.end('done\n');
  };
  context.after(remove);
  return { path, remove };
}

/** The library that gives a process another clock. */
export function faketimeLibrary(): string {
  const [library] = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1');
  if (library === undefined) throw new Error('this test needs libfaketime: apt-get install faketime');
  return library;
}

/** The processes that a process started, and theirs. */
export function descendants(pid: number): number[] {
  const list = (() => {
    try {
      return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    } catch {
      return '';
    }
  })();
  const children = list.split(' ').filter(Boolean).map(Number);
  return children.flatMap((child) => [child, ...descendants(child)]);
}

/**
 * Stops a process between two instructions, as a power cut does; resolves when its threads stand still. Call it before
 * `cutPower`: ext4 may answer an fsync that runs into the shutdown with success although nothing was written (seen on
 * Linux 6.18 with a bare loop of write and fsync: 3 of 1,759), which no disk does whose power is cut.
 */
export async function freeze(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  const states = (): string[] =>
    readdirSync(`/proc/${pid}/task`).map((thread) =>
      // The name before the state is in brackets, and may hold anything.
      readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .slice(0, 1),
    );
  for (let tries = 0; states().some((state) => state !== 'T'); tries++) {
    if (tries > 5000) throw new Error(`the threads of process ${pid} do not stop: ${states().join()}`);
    await sleep(1);
  }
}

/** Resident memory of a process in MiB. */
export function residentMemory(pid: number): number {
  const [, kibibytes = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kibibytes) / 1024;
}
