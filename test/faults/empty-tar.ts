/** An archive without entries: two blocks of zeros (POSIX.1-1988, ustar). */
export const emptyTar = (): Buffer => Buffer.alloc(1024)
