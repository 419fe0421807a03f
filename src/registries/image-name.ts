/** `registry.example/lab/sdxl` of `registry.example/lab/sdxl:3`, with or without a digest. */
export const repositoryOf = (image: string): string => image.replace(/@.*$/, '').replace(/:[^:/]*$/, '')

/** The same image for ever: of that name, whatever its tag leads to by now. */
export const pinned = (image: string, digest: string): string => `${repositoryOf(image)}@${digest}`
