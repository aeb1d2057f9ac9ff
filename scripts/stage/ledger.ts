/** SQL for the key that the ledger has of an id (`Ids.java`). `id` is SQL, too. */
export function ledgerKey(id: string): string {
  return `('x' || left(encode(sha256(convert_to(${id}, 'UTF8')), 'hex'), 16))::bit(64)::bigint`
}

/** SQL that copies rows of the ledger, each under a session id of its own. `sid` is SQL, `from` has the ledger as `l`. */
export function copyLedger(sid: string, from: string): string {
  return `insert into logout_relay_ledger (login_began, latest_end, template, user_key, sid_key, user_id, sid, sub)
    select login_began, latest_end, template, user_key, ${ledgerKey('copy')}, user_id, copy, sub
    from (select l.*, ${sid} as copy from ${from}) copied`
}
