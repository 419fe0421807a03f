/** How much of a stranger's file is looked at, and by how much of this computer. */
export const bounds = {
  /** A photograph of 80 megapixels has about 40 MB as JPEG, a clip of 30 s from a phone about as much. */
  maxFileBytes: 64 * 1024 * 1024,
  /** Of all files of a dataset: 500 photographs of 8 MB each. */
  maxDatasetBytes: 4 * 1024 * 1024 * 1024,
  /** Decoded, this is 240 MB; a decompression bomb is more. */
  maxPixels: 80_000_000,
  /** For one file, from when a child has it. */
  fileMs: 30_000,
  /** Of a child's memory that is in use. It has about 100 MiB before it has seen a file. */
  childBytes: 640 * 1024 * 1024,
  /** Of the file that a child writes. The largest image of a recipe has a few megabytes. */
  writtenBytes: 128 * 1024 * 1024,
  /** Files of one dataset that had to be stopped, after which the rest isn't looked at. */
  stoppedFiles: 3,
} as const
