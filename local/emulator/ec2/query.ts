/** The parameters of a request to EC2: flat names with numbers, such as `Filter.1.Value.2`. */
import { ApiError } from './api-error.ts'
import { pattern } from './policy.ts'

export type Filter = { readonly name: string; readonly values: readonly string[] }

export class Query {
  readonly action: string
  readonly #parameters: URLSearchParams

  constructor(parameters: URLSearchParams) {
    this.#parameters = parameters
    this.action = parameters.get('Action') ?? ''
  }

  text(name: string): string | undefined {
    return this.#parameters.get(name) ?? undefined
  }

  required(name: string): string {
    const value = this.text(name)
    if (!value) throw this.refusal('MissingParameter', `The request must contain the parameter ${name}`)
    return value
  }

  /** `Name.1`, `Name.2` and so on. */
  list(name: string): readonly string[] {
    const values: string[] = []
    for (
      let value = this.text(`${name}.1`);
      value !== undefined;
      value = this.text(`${name}.${values.length + 1}`)
    ) {
      values.push(value)
    }
    return values
  }

  filters(): readonly Filter[] {
    const filters: Filter[] = []
    for (let name = this.text('Filter.1.Name'); name; name = this.text(`Filter.${filters.length + 1}.Name`)) {
      filters.push({ name, values: this.list(`Filter.${filters.length + 1}.Value`) })
    }
    return filters
  }

  refusal(code: string, detail: string): ApiError {
    return new ApiError({ doing: this.action, operation: this.action }, code, detail)
  }

  /**
   * Whether a thing fits every filter. `tag:KEY` and `tag-key` are looked up in its tags, the rest in
   * `fields`; a filter that isn't there is refused, not ignored. `*` and `?` stand for anything.
   */
  fits(tags: Readonly<Record<string, string>>, fields: Readonly<Record<string, string>> = {}): boolean {
    return this.filters().every(({ name, values }) => {
      const found = name.startsWith('tag:')
        ? [tags[name.slice(4)]]
        : name === 'tag-key'
          ? Object.keys(tags)
          : [this.#field(fields, name)]
      return found.some((each) => each !== undefined && values.some((value) => pattern(value).test(each)))
    })
  }

  #field(fields: Readonly<Record<string, string>>, name: string): string | undefined {
    if (!(name in fields)) throw this.refusal('InvalidParameterValue', `The filter '${name}' is invalid`)
    return fields[name]
  }
}
