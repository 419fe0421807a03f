/** Where finished models are used. Two adapters: ComfyDeploy's API, and a plain ComfyUI's folder. */
export type PublishedFile = {
  readonly modelId: string
  /** In ComfyUI's list: `<slug>.safetensors`. */
  readonly filename: string
  readonly url: string
  /** Bytes. */
  readonly size: number
  readonly sha256: string
}

export interface ComfyUi {
  /** Makes the file usable; safe to repeat. Returns the service's id of it. */
  install(file: PublishedFile): Promise<string>
}
