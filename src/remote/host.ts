/**
 * A GPU machine as the pipeline sees it once SSH answers. Whatever runs there runs detached and by
 * name: a dropped connection loses nothing, and another worker attaches to the same training.
 */
import type { Machine } from '../cloud/machines.ts'
import type { Upload } from '../storage/store.ts'

export type Download = {
  readonly url: string
  /** Below /job, such as `base/unet/model.safetensors`. */
  readonly path: string
  readonly size: number
  /** Checked after the download where it is known. */
  readonly sha256: string | undefined
  /** A tar archive that is unpacked into the folder of that name: plain files only. */
  readonly unpack?: boolean
  /** One that the store lacks, or has cut or changed, is told of instead of failing the download. */
  readonly maySpoil?: boolean
}

export type TransferProgress = { readonly bytes: number; readonly totalBytes: number }

export type TrainerContainer = {
  readonly name: string
  readonly image: string
  readonly memoryBytes: number
  readonly gpu: boolean
  readonly environment: Readonly<Record<string, string>>
}

export type TrainerState = 'absent' | 'running' | 'exited'

export type TrainerExit = {
  readonly exitCode: number
  readonly outOfMemory: boolean
  /** The last lines that it wrote, at most 40. */
  readonly tail: readonly string[]
}

/** `path` is relative to the folder that was asked for. */
export type OutputFile = { readonly path: string; readonly size: number; readonly sha256: string }

/** What a machine looks at by itself. */
export const machineEventSources = ['spot', 'gpu', 'disk', 'kernel log'] as const
export type MachineEventSource = (typeof machineEventSources)[number]

/** Something that the machine noticed by itself. */
export type MachineEvent =
  | { readonly kind: 'spot'; readonly action: string; readonly at: Date }
  | { readonly kind: 'gpu'; readonly utilisationPercent: number; readonly memoryUsedMb: number }
  | { readonly kind: 'xid'; readonly code: number; readonly line: string }
  | { readonly kind: 'disk'; readonly freeBytes: number }
  /** Nothing is known of that until it is told of again. */
  | { readonly kind: 'unreadable'; readonly source: MachineEventSource; readonly detail: string }

export interface Host {
  /** Waits for the first boot to be done, as long as the signal lets it; Failure('machine-broken') where it failed. */
  ready(signal: AbortSignal): Promise<void>
  writeFile(path: string, content: string, signal: AbortSignal): Promise<void>
  /** Undefined if there is no such file below /job. */
  readFile(path: string, maxBytes: number, signal: AbortSignal): Promise<Buffer | undefined>
  /**
   * Fetches with several parallel ranges, skipping what is there with the right sum. Returns the paths of those
   * that `maySpoil` and did; any other that isn't as it should be is Failure('store-failed').
   */
  download(
    files: readonly Download[],
    onProgress: (progress: TransferProgress) => void,
    signal: AbortSignal,
  ): Promise<readonly string[]>
  /**
   * Pulls the image unless the machine has it; Failure('bad-request') if it declares a VOLUME, Failure('image-refused')
   * where the registry has none or does not hand it out, Failure('registry-failed') where another try may help.
   */
  pull(image: string, onProgress: (message: string) => void, signal: AbortSignal): Promise<void>
  /** `sha256:…` of an image that was pulled; undefined for one that came from no registry. */
  imageDigest(image: string, signal: AbortSignal): Promise<string | undefined>
  trainerState(name: string, signal: AbortSignal): Promise<TrainerState>
  /** Starts it detached; one of that name that runs or has exited is left as it is. */
  startTrainer(container: TrainerContainer, signal: AbortSignal): Promise<void>
  /**
   * Follows stdout from the first line on (a re-attached follower sees every line again) until the
   * container has exited, whether its log ends or not. Connections that drop are made anew; Failure('machine-lost') if that fails.
   */
  followTrainer(name: string, onLine: (line: string) => void, signal: AbortSignal): Promise<TrainerExit>
  /** SIGTERM, then SIGKILL after `graceSeconds`. */
  stopTrainer(name: string, graceSeconds: number, signal: AbortSignal): Promise<void>
  /** Every file below /job/<folder>, with sizes and sums. */
  outputs(folder: 'out' | 'checkpoint', signal: AbortSignal): Promise<readonly OutputFile[]>
  /** Sends one file below /job in parts; returns their ETags in order. */
  upload(
    path: string,
    upload: Upload,
    onProgress: (progress: TransferProgress) => void,
    signal: AbortSignal,
  ): Promise<readonly string[]>
  /** Sends /job/<folder> as one tar to a presigned PUT; returns its size and sum. */
  uploadFolder(
    folder: 'checkpoint',
    url: string,
    signal: AbortSignal,
  ): Promise<{ readonly size: number; readonly sha256: string }>
  /**
   * Reports what the machine notices, and all of it again to each who asks, until the signal; ends silently when
   * the connection does. Some of it (the disk's room) comes every few seconds.
   */
  watch(onNotice: (notice: MachineEvent) => void, signal: AbortSignal): Promise<void>
  /** Moves the switch-off time; never past the hard limit that the machine was made with. */
  setDeadline(at: Date, signal: AbortSignal): Promise<void>
  /** Log tail, kernel messages, GPU state: whatever explains a failure. Never throws. */
  evidence(name: string): Promise<string>
  close(): void
}

export interface Remote {
  /**
   * Opens SSH with the machine's own key pair and pinned host key, waiting for a booting machine until the signal aborts.
   * `onWait` hears why each try failed.
   */
  connect(machine: Machine, signal: AbortSignal, onWait?: (why: string) => void): Promise<Host>
}
