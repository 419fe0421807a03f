/**
 * The commands that a machine is told to run: pure lists of arguments. `quote` is the only place where
 * one becomes text for a shell. Docker on Ubuntu and Debian's podman-docker take all of them alike.
 */
import type { TrainerContainer } from './host.ts'

export type Argv = readonly string[]

/** Text that a POSIX shell reads back as exactly these arguments. */
export const quote = (argv: Argv): string => argv.map(quoteWord).join(' ')

const quoteWord = (word: string): string => {
  if (word.includes('\0')) throw new Error('an argument of a command cannot hold a NUL byte')
  return /^[\w@%+:,./-][\w@%+=:,./-]*$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

/** Runs `argv` as root: machines let their login user do so without a password. */
const asRoot = (argv: Argv): Argv => ['sudo', '-n', ...argv]

const docker = (...argv: Argv): Argv => asRoot(['docker', ...argv])

/**
 * The user that every container runs as, whatever its image says: unknown to the machine, and not its login
 * user, who may become root there. What it writes must be open to others, since the helper reads it.
 */
export const trainerUser = '10001:10001'

const mebibyte = 1024 ** 2

/**
 * What every container gets, whatever it is started for: no network, nothing writable but /job and /tmp, no
 * privilege, no swap, bounded memory and processes, and no image but the one that is there. /tmp may hold
 * programs, as kernels that are compiled at run time are loaded from there.
 */
const hardened = (memoryBytes: number): Argv => {
  const halfMemory = `${Math.ceil(memoryBytes / 2 / mebibyte)}m`
  return [
    ...['--user', trainerUser],
    ...['--network', 'none'],
    '--read-only',
    ...['--cap-drop', 'ALL'],
    ...['--security-opt', 'no-new-privileges'],
    ...['--memory', String(memoryBytes)],
    ...['--memory-swap', String(memoryBytes)],
    ...['--pids-limit', '4096'],
    ...['--shm-size', halfMemory],
    ...['--tmpfs', `/tmp:rw,exec,nosuid,nodev,mode=1777,size=${halfMemory}`],
    ...['--pull', 'never'],
  ]
}

const runContainer = (memoryBytes: number, ...argv: Argv): Argv =>
  docker('run', ...hardened(memoryBytes), ...argv)

export const runTrainer = (container: TrainerContainer): Argv =>
  runContainer(
    container.memoryBytes,
    '--detach',
    ...['--name', container.name],
    ...(container.gpu ? ['--gpus', 'all'] : []),
    // Progress is replayed from the log's first line: it must not rotate, nor fill the disk.
    ...['--log-driver', 'json-file', '--log-opt', 'max-size=1g'],
    ...['--volume', '/job:/job'],
    ...Object.entries({ HOME: '/tmp', USER: 'trainer', ...container.environment }).flatMap(
      ([name, value]) => ['--env', `${name}=${value}`],
    ),
    container.image,
  )

const probeBytes = 1024 ** 3

/** Lists the GPUs from inside the image: fails where driver, toolkit or GPU don't fit together. */
export const probeGpu = (image: string): Argv =>
  runContainer(probeBytes, '--rm', '--gpus', 'all', '--entrypoint', 'nvidia-smi', image, '-L')

/** A JSON object: `Status`, `ExitCode`, `OOMKilled`, `Pid`. Exits with 1 where there is no such container. */
export const inspectTrainer = (name: string): Argv =>
  docker('container', 'inspect', '--format', '{{json .State}}', name)

/** Stdout and stderr apart, from the first line until the container has exited. */
export const followLogs = (name: string): Argv => docker('logs', '--follow', name)

export const wholeLog = (name: string): Argv => docker('logs', name)

export const lastLogs = (name: string, lines: number): Argv => docker('logs', '--tail', String(lines), name)

export const stopTrainer = (name: string, graceSeconds: number): Argv =>
  docker('stop', '-t', String(graceSeconds), name)

export const removeContainer = (name: string): Argv => docker('rm', '--force', name)

/** A JSON object: `digests` (`name@sha256:…`, of the registries that it came from), `volumes`. 1: no such image. */
export const inspectImage = (image: string): Argv =>
  docker(
    'image',
    'inspect',
    '--format',
    '{"digests":{{json .RepoDigests}},"volumes":{{json .Config.Volumes}}}',
    image,
  )

export const pullImage = (image: string): Argv => docker('pull', image)

/**
 * As `pullImage`, with the engine's `config.json` as stdin's only line. It lies in memory, where root alone can read it,
 * until the pull has ended; it also ends when stdin does: its caller is gone then.
 */
export const pullWithLogin = (image: string): Argv =>
  asRoot(['sh', '-c', pullScript, 'pull-with-login', image])

const pullScript = `
set -eu
folder=$(mktemp -d /dev/shm/bellows-login-XXXXXX)
trap 'rm -rf -- "$folder"' EXIT
trap 'exit 1' HUP INT TERM
IFS= read -r config
umask 077
printf '%s\\n' "$config" > "$folder/config.json"
export DOCKER_CONFIG="$folder" REGISTRY_AUTH_FILE="$folder/config.json"
exec 3<&0
docker pull "$1" < /dev/null & pull=$!
(cat <&3; kill "$pull") > /dev/null 2>&1 & watch=$!
ended=0; wait "$pull" || ended=$?
kill "$watch" || :
exit "$ended"
`

/** Unpacks the tar archive on stdin into a new folder, whole or not at all; below the home folder. */
export const installFolder = (folder: string): Argv => [
  'sh',
  '-c',
  'set -eu; rm -rf -- "$1.part"; mkdir -p -- "$1.part"; tar -xf - -C "$1.part"; rm -rf -- "$1"; mv -- "$1.part" "$1"',
  'install-folder',
  folder,
]

export const folderExists = (folder: string): Argv => ['test', '-d', folder]

/** The helper in `machine/`: its job is the first line of stdin; it stops when stdin ends. */
export const runHelper = (folder: string): Argv => ['python3', '-B', folder]

/**
 * The first boot (`infra/cloud-init.ts`) says here that it is done, or why not, and reads from here
 * when to switch the machine off: seconds since 1970.
 */
const bootFiles = {
  ready: '/var/lib/bellows/ready',
  failed: '/var/lib/bellows/failed',
  deadline: '/var/lib/bellows/deadline',
} as const

/** Waits in the machine, so that a boot of minutes is one command. */
export const awaitBoot: Argv = [
  'sh',
  '-c',
  'until [ -e "$1" ]; do if [ -e "$2" ]; then cat -- "$2"; exit 3; fi; sleep 0.2; done',
  'await-boot',
  bootFiles.ready,
  bootFiles.failed,
]

/** Whole or not at all. The machine itself keeps to its hard limit, whatever this says. */
export const setDeadline = (epochSeconds: number): Argv =>
  asRoot([
    'sh',
    '-c',
    'set -eu; echo "$1" > "$2.part"; mv -f "$2.part" "$2"',
    'set-deadline',
    String(epochSeconds),
    bootFiles.deadline,
  ])

/** What the helper watches, beside the disk. */
export const watched = {
  metadata: 'http://169.254.169.254',
  kernelLog: asRoot(['dmesg', '--follow']),
  gpu: ['nvidia-smi', '--query-gpu=utilization.gpu,memory.used', '--format=csv,noheader,nounits'],
} as const

export const kernelTail: Argv = ['sh', '-c', 'sudo -n dmesg | tail -n 40']

export const gpuReport: Argv = ['nvidia-smi']

export const diskReport: Argv = ['df', '-h', '/job', '/']

export const memoryReport: Argv = ['free', '-m']
