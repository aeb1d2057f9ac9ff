import type { DatabaseSync } from 'node:sqlite'
import { RelayError } from '../../errors.ts'
import { VERSION } from '../../version.ts'

/** The form of a file, in its `user_version`. A change of the tables after a release raises it and brings older files up. */
export const FORM = 3

/** What the forms before had not. Of a containment of then nobody knows whose account it was. */
const SINCE_2 = `
  alter table containment add column subject text;
  alter table containment add column dismissed integer not null default 0;
  update containment set dismissed = (select count(*) from delivery indexed by delivery_by_containment
    where containment_id = containment.id and delivery.issuer = containment.issuer and state = 'dismissed');
  alter table containment add column unreachable integer not null default 0;
  alter table containment add column unreachable_until_ms integer not null default 0;
  -- Whose subject may be forgotten, the longest past first.
  create index containment_named on containment (max(closed_ms, last_end_ms))
    where closed_ms is not null and subject is not null;
  create index containment_by_subject on containment (issuer, subject, created_ms) where subject is not null;

  -- Sessions that nobody can be told about, until they end by themselves.
  create table unreachable (
    issuer text not null, client_id text not null, sid text not null, until_ms integer not null,
    primary key (issuer, client_id, sid)
  ) strict, without rowid;
  create index unreachable_by_end on unreachable (until_ms);

  -- With the watermarks of clients, which the table of before refuses.
  create table watermark_of_2 (
    issuer text not null, kind text not null check (kind in ('sub', 'sid', 'kept', 'client')), name text not null,
    watermark_ms integer not null, until_ms integer not null, seq integer not null,
    -- Of a session: which event has named it last.
    containment_id text,
    primary key (issuer, kind, name)
  ) strict, without rowid;
  insert into watermark_of_2 select * from watermark;
  drop table watermark;
  alter table watermark_of_2 rename to watermark;
  create index watermark_by_seq on watermark (issuer, seq);
  create index watermark_by_end on watermark (until_ms)`

/** Counted of what is there, and followed from then on. */
const SINCE_3 = `
  create table month (
    issuer text not null, month text not null,
    containments integer not null, closed integer not null, sessions integer not null, told integer not null,
    within_second integer not null, within_minute integer not null, longest_ms integer not null,
    primary key (issuer, month)
  ) strict, without rowid;
  insert into month
    select issuer, strftime('%Y-%m', created_ms / 1000, 'unixepoch') as month, count(*), coalesce(sum(closed), 0),
      coalesce(sum(closed * (deliveries - dismissed)), 0), coalesce(sum(told), 0),
      coalesce(sum(told * (took <= 1000)), 0), coalesce(sum(told * (took <= 60000)), 0), coalesce(max(told * took), 0)
    from (select *, closed_ms is not null as closed, coalesce(closed_ms - event_ms, 0) as took,
      closed_ms is not null and deliveries > 0 and dismissed = 0 as told from containment)
    group by issuer, month`

const TABLES = `
  create table event (
    issuer text not null, jti text not null,
    primary key (issuer, jti)
  ) strict, without rowid;

  create table containment (
    issuer text not null, id text not null, trigger text not null,
    event_ms integer not null, created_ms integer not null, closed_ms integer,
    deliveries integer not null, open integer not null, parts integer not null default 1,
    arrived integer not null default 1,
    -- When none of its sessions can live any more.
    last_end_ms integer not null default 0,
    primary key (issuer, id)
  ) strict, without rowid;
  create index containment_by_age on containment (issuer, created_ms);
  -- What may be pruned, the longest past first.
  create index containment_past on containment (max(closed_ms, last_end_ms)) where closed_ms is not null;

  -- Rows in the order in which they came: what is worked on together then shares pages.
  create table delivery (
    seq integer primary key, id text not null, containment_id text not null, issuer text not null, client_id text not null,
    sid text not null,
    -- Where and how it goes, as JSON: its kind and its URI, and what else its kind knows of.
    target text not null,
    latest_end_ms integer not null,
    privileged integer not null default 0,
    state text not null check (state in ('open', 'delivered', 'expired', 'dismissed')),
    attempts integer not null, due_ms integer not null, created_ms integer not null, ended_ms integer,
    last_status integer, last_reason text, reported integer not null default 0,
    -- Whether several events have named its session.
    again integer not null default 0
  ) strict;
  create unique index delivery_by_id on delivery (id);
  create index delivery_by_containment on delivery (containment_id);
  create index delivery_unreported on delivery (issuer) where state <> 'open' and reported = 0;
  -- What is open: what becomes due, of one lane, of one lane for privileged subjects, and in order. Each of these indices is
  -- paid for by every delivery, so there are no others; the last holds hardly any.
  create index delivery_due on delivery (due_ms) where state = 'open';
  create index delivery_lane on delivery (issuer, client_id, due_ms, created_ms) where state = 'open';
  create index delivery_lane_privileged on delivery (issuer, client_id, due_ms) where state = 'open' and privileged = 1;
  create index delivery_open on delivery (id) where state = 'open';
  create index delivery_again on delivery (issuer, client_id, sid) where state = 'open' and again = 1;

  create table evidence (
    seq integer primary key, issuer text not null, containment_id text not null,
    at_ms integer not null, kind text not null, data text not null
  ) strict;
  create index evidence_by_containment on evidence (containment_id, seq);
  create index evidence_by_issuer on evidence (issuer, seq);

  -- Where the security feed is in the evidence of each issuer.
  create table security_feed (
    issuer text primary key, seq integer not null, fence integer not null, lease_ms integer not null
  ) strict, without rowid;

  create table watermark (
    issuer text not null, kind text not null check (kind in ('sub', 'sid', 'kept')), name text not null,
    watermark_ms integer not null, until_ms integer not null, seq integer not null,
    -- Of a session: which event has named it last.
    containment_id text,
    primary key (issuer, kind, name)
  ) strict, without rowid;

  create table note (
    issuer text not null, name text not null, text text not null,
    primary key (issuer, name)
  ) strict, without rowid;

  create table change (
    seq integer primary key, issuer text not null, kind text not null, at_ms integer not null,
    client_id text, by text, reason text, data text not null
  ) strict;
  create index change_by_issuer on change (issuer, seq);

  -- The relay that gave the file its form, so that another one can say which it takes.
  create table written_by (version text not null) strict`

/**
 * The form of a file, 0 of a new one.
 *
 * @throws RelayError `store_unavailable` for one in a form that this relay does not know
 */
export function formOf(db: DatabaseSync, path: string): number {
  const form = Number(db.prepare('pragma user_version').get()?.['user_version'])
  if (form < 0 || form > FORM) {
    const by = String(db.prepare('select version from written_by').get()?.['version'])
    throw new RelayError(
      'store_unavailable',
      `The store ${path} is in the form of Logout Relay ${by} (${form}), which this one, ${VERSION} (${FORM}), ` +
        `does not know: start ${by} or a newer one here; docs/upgrade.md has the way back`,
    )
  }
  return form
}

/** Gives a new file its tables, and brings an older one up. In one transaction with whatever else opening it needs. */
export function makeTables(db: DatabaseSync, path: string): void {
  const form = formOf(db, path)
  if (form === FORM) {
    return
  }
  const steps = [TABLES, SINCE_2, SINCE_3]
  db.exec(steps.slice(form).join(';'))
  db.exec(`pragma user_version = ${FORM}`)
  db.exec('delete from written_by')
  db.prepare('insert into written_by values (?)').run(VERSION)
}
