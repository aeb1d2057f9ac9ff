import type { Change } from '../domain/change.ts'

/** A text by issuer and name. They are few: what was last seen of a realm, and what people say of a relying party. */
export interface Note {
  readonly issuer: string
  readonly name: string
  readonly text: string
}

/** What is kept beside what is owed, and who changed what of it. */
export interface Notes {
  notes(): Promise<Note[]>
  /**
   * Puts `text` in the place of `was`, undefined for nothing, and appends the changes that this makes, at once. False, and
   * nothing is written, where something else than `was` is kept: of two relays that see the same, one tells of it.
   */
  replaceNote(
    place: { readonly issuer: string; readonly name: string },
    was: string | undefined,
    text: string | undefined,
    changes: readonly Change[],
  ): Promise<boolean>
  addChange(change: Change): Promise<void>
  /** Newest first. `before` is the `seq` of the last of the page before. */
  changes(issuer: string, limit: number, before?: number): Promise<(Change & { readonly seq: number })[]>
}
