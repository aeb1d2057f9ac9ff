import type { DatabaseSync } from 'node:sqlite'
import { RelayError } from '../../errors.ts'
import { VERSION } from '../../version.ts'

/**
 * The tables, one change each. `user_version` counts them: what is added later is appended, never edited, so that an
 * older file is brought up to date at the start.
 */
export const MIGRATIONS: readonly string[] = [
  `create table event (
     issuer text not null, jti text not null, containment_id text not null,
     received_ms integer not null, watermark_ms integer not null,
     primary key (issuer, jti)
   ) strict, without rowid`,
  `create table containment (
     issuer text not null, id text not null, trigger text not null,
     event_ms integer not null, created_ms integer not null, closed_ms integer,
     deliveries integer not null, open integer not null,
     primary key (issuer, id)
   ) strict, without rowid`,
  `create index containment_by_age on containment (issuer, created_ms)`,
  `create table delivery (
     id text primary key, containment_id text not null, issuer text not null, client_id text not null, sid text not null,
     logout_uri text not null, latest_end_ms integer not null,
     state text not null check (state in ('open', 'delivered', 'expired', 'dismissed')),
     attempts integer not null, due_ms integer not null, fence integer not null default 0,
     leased integer not null default 0,
     created_ms integer not null, ended_ms integer, last_status integer, last_reason text,
     reported integer not null default 0
   ) strict, without rowid`,
  // due_ms is pushed to the lease's end by a claim, so this one index finds what is due and what was left behind.
  `create index delivery_due on delivery (due_ms) where state = 'open'`,
  `create index delivery_unreported on delivery (issuer) where state <> 'open' and reported = 0`,
  `create index delivery_by_containment on delivery (issuer, containment_id)`,
  `create index delivery_open_by_client on delivery (issuer, client_id, created_ms) where state = 'open'`,
  `create table evidence (
     seq integer primary key, issuer text not null, containment_id text not null,
     at_ms integer not null, kind text not null, data text not null
   ) strict`,
  `create index evidence_by_containment on evidence (issuer, containment_id, seq)`,
  // What is due of one lane, and the next lane, are one step each, however much is open.
  `create index delivery_lane on delivery (issuer, client_id, due_ms) where state = 'open'`,
  `drop index delivery_due`,
  `create index delivery_due on delivery (due_ms, issuer, client_id) where state = 'open'`,
  // Pages of what is open, by id, among a million that have ended.
  `create index delivery_open on delivery (issuer, id) where state = 'open'`,
  `create index delivery_open_of_client on delivery (issuer, client_id, id) where state = 'open'`,
  `create table watermark (
     issuer text not null, kind text not null check (kind in ('sub', 'sid', 'kept', 'client')), name text not null,
     watermark_ms integer not null, until_ms integer not null, seq integer not null,
     primary key (issuer, kind, name)
   ) strict, without rowid`,
  `create index watermark_by_seq on watermark (issuer, seq)`,
  `create index watermark_by_end on watermark (until_ms)`,
  // Where the security feed is in the evidence of each issuer.
  `create index evidence_by_issuer on evidence (issuer, seq)`,
  `create table feed (
     issuer text primary key, seq integer not null, fence integer not null, lease_ms integer not null
   ) strict, without rowid`,
  `create table note (
     issuer text not null, name text not null, text text not null,
     primary key (issuer, name)
   ) strict, without rowid`,
  `create table change (
     seq integer primary key, issuer text not null, kind text not null, at_ms integer not null,
     client_id text, by text, reason text, data text not null
   ) strict`,
  `create index change_by_issuer on change (issuer, seq)`,
  // Of the tokens that the relay may make by itself; null where only the realm can.
  `alter table delivery add column alg text`,
  `alter table delivery add column privileged integer not null default 0`,
  `create index delivery_lane_privileged on delivery (issuer, client_id, due_ms) where state = 'open' and privileged = 1`,
  `drop index delivery_due`,
  `create index delivery_due on delivery (due_ms, issuer, client_id, privileged) where state = 'open'`,
  `alter table containment add column parts integer not null default 1`,
  `alter table containment add column arrived integer not null default 1`,
  // The relay that appended last, so that an older one can say which it takes.
  `create table written_by (version text not null) strict`,
  // When none of its sessions can live any more.
  `alter table containment add column last_end_ms integer not null default 0`,
  `update containment set last_end_ms = coalesce((select max(latest_end_ms) from delivery d
     where d.issuer = containment.issuer and d.containment_id = containment.id), 0)`,
  // What may be pruned, the longest past first.
  `create index containment_past on containment (max(closed_ms, last_end_ms)) where closed_ms is not null`,
  // Rows in the order in which they came, so that what is worked on together lies together; and no lease, which is a matter of
  // the process that has the file. What was leased is due at once.
  `create table delivery_in_order (
     seq integer primary key, id text not null, containment_id text not null, issuer text not null, client_id text not null,
     sid text not null, logout_uri text not null, latest_end_ms integer not null, alg text, privileged integer not null default 0,
     state text not null check (state in ('open', 'delivered', 'expired', 'dismissed')),
     attempts integer not null, due_ms integer not null, created_ms integer not null, ended_ms integer,
     last_status integer, last_reason text, reported integer not null default 0
   ) strict;
   insert into delivery_in_order (id, containment_id, issuer, client_id, sid, logout_uri, latest_end_ms, alg, privileged, state,
       attempts, due_ms, created_ms, ended_ms, last_status, last_reason, reported)
     select id, containment_id, issuer, client_id, sid, logout_uri, latest_end_ms, alg, privileged, state,
       attempts, iif(state = 'open' and leased = 1, 0, due_ms), created_ms, ended_ms, last_status, last_reason, reported
     from delivery order by created_ms, id;
   drop table delivery;
   alter table delivery_in_order rename to delivery`,
  `create unique index delivery_by_id on delivery (id)`,
  `create index delivery_by_containment on delivery (containment_id)`,
  // What is open: what becomes due, of one lane, of one lane for privileged subjects, and in order. An entry less in each of
  // them is what a delivery costs, so there are no others.
  `create index delivery_due on delivery (due_ms) where state = 'open'`,
  `create index delivery_lane on delivery (issuer, client_id, due_ms, created_ms) where state = 'open'`,
  `create index delivery_lane_privileged on delivery (issuer, client_id, due_ms) where state = 'open' and privileged = 1`,
  `create index delivery_open on delivery (id) where state = 'open'`,
  `create index delivery_unreported on delivery (issuer) where state <> 'open' and reported = 0`,
  `drop index evidence_by_containment`,
  `create index evidence_by_containment on evidence (containment_id, seq)`,
  // Which event has named a session last, and what is owed for one that several have named.
  `alter table watermark add column containment_id text`,
  `alter table delivery add column again integer not null default 0`,
  `create index delivery_again on delivery (issuer, client_id, sid) where state = 'open' and again = 1`,
]

/**
 * How many of the tables a file has.
 *
 * @throws RelayError `store_unavailable` for one with more than this relay knows
 */
export function tablesOf(db: DatabaseSync, path: string): number {
  const count = Number(db.prepare('pragma user_version').get()?.['user_version'])
  if (count > MIGRATIONS.length) {
    const by = String(db.prepare('select version from written_by').get()?.['version'])
    throw new RelayError(
      'store_unavailable',
      `The store ${path} is in the form of Logout Relay ${by} (${count}), which this one, ${VERSION} (${MIGRATIONS.length}), ` +
        `does not know: start ${by} or a newer one here; docs/upgrade.md has the way back`,
    )
  }
  return count
}

/** Brings a file up to date. */
export function migrate(db: DatabaseSync, path: string): void {
  const missing = MIGRATIONS.slice(tablesOf(db, path))
  if (missing.length > 0) {
    missing.forEach((statement) => db.exec(statement))
    db.exec(`pragma user_version = ${MIGRATIONS.length}`)
    db.exec('delete from written_by')
    db.prepare('insert into written_by values (?)').run(VERSION)
  }
}
