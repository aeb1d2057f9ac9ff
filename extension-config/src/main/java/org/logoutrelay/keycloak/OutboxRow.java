package org.logoutrelay.keycloak;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

import org.hibernate.annotations.DynamicUpdate;
import org.keycloak.common.util.Time;

/**
 * One Security Event Token owed to the relay, with all that its logout tokens need. Of a change only the columns that it
 * changes are written: a look at it, an acknowledgement and an answer may come at the same moment, and none must undo another.
 */
@Entity
@DynamicUpdate
@Table(name = "LOGOUT_RELAY_OUTBOX")
public class OutboxRow {
    @Id
    @Column(name = "JTI")
    String jti;

    @Column(name = "TXN")
    String txn;

    @Column(name = "REALM_ID")
    String realmId;

    @Column(name = "USER_ID")
    String userId;

    /** The issuer as it was named when the event happened; the host name may have changed by the time it is signed. */
    @Column(name = "ISS")
    String iss;

    @Column(name = "TRIGGER_ID")
    String triggerId;

    @Column(name = "WATERMARK_MS")
    long watermarkMs;

    @Column(name = "PART")
    int part;

    @Column(name = "PARTS")
    int parts;

    /** JSON array of {@link ListedSession}. No {@code @Lob}: on PostgreSQL that would store a number instead of the text. */
    @Column(name = "SESSIONS")
    String sessions;

    /** Seconds. The greatest latest end among the sessions. */
    @Column(name = "LAST_END")
    long lastEnd;

    /** Sessions for which no answer has been reported yet. */
    @Column(name = "OPEN_SESSIONS")
    int openSessions;

    /** When it was listed who has to be told; null before, and then nobody is handed the row. */
    @Column(name = "LISTED_MS")
    Long listedMs;

    /** The node that has written the event. It alone knows when the commit was over. */
    @Column(name = "NODE")
    String node;

    /** JSON array: what the gate has refused since the event, by kind, client and address; null for nothing. */
    @Column(name = "REFUSED_AFTER")
    String refusedAfter;

    /** When no old session of the subject was left in Keycloak's store; null until that has been seen. */
    @Column(name = "REMOVED_MS")
    Long removedMs;

    /** When the relay took it over, by a 202 or an {@code ack}. */
    @Column(name = "ACKED_MS")
    Long ackedMs;

    @Column(name = "ERR")
    String err;

    @Column(name = "ERR_DESCRIPTION")
    String errDescription;

    @Column(name = "ERR_MS")
    Long errMs;

    /** When the last of its sessions got its answer. */
    @Column(name = "ENDED_MS")
    Long endedMs;

    /** The one session that the event is about, or null: all of the user's. */
    @Column(name = "SID")
    String sid;

    /** The type of the credential that was changed, or null. */
    @Column(name = "DETAIL")
    String detail;

    @Column(name = "PRIVILEGED")
    boolean privileged;

    /** Only found and reported; nothing was ended. */
    @Column(name = "SHADOW")
    boolean shadow;

    /** JSON object: what the steps beyond the sessions have ended, by step; null for nothing. */
    @Column(name = "STEPS")
    String steps;

    /** Old sessions that a later look has found alive, and ended. */
    @Column(name = "SURVIVORS")
    int survivors;

    /** {@link ListedSession#key()} of the session in which the person goes on who made the change, or null. Never listed. */
    @Column(name = "SPARED")
    String spared;

    /** JSON array: internal ids of the clients whose offline sessions of this subject live on by policy, or null. */
    @Column(name = "SPARED_OFFLINE")
    String sparedOffline;

    /** JSON array: aliases of the identity providers that the subject is still linked to after the steps, or null. */
    @Column(name = "IDENTITY_PROVIDERS")
    String identityProviders;

    /** When to look for old sessions again; null when the last look is over. */
    @Column(name = "NEXT_LOOK_MS")
    Long nextLookMs;

    /** What the looks count from, where that is not the watermark: everybody's logout may be confirmed days after it. */
    @Column(name = "LOOKS_FROM_MS")
    Long looksFromMs;

    long looksFromMs() {
        return looksFromMs == null ? watermarkMs : looksFromMs;
    }

    /** The {@code sub} of the access token with which somebody asked for it; null where it just happened. */
    @Column(name = "ASKED_BY")
    String askedBy;

    /** The client that their token was issued to. */
    @Column(name = "ASKED_CLIENT")
    String askedClient;

    @Column(name = "ASKED_REASON")
    String askedReason;

    void asked(Trigger.Asked asked) {
        if (asked != null) {
            askedBy = asked.by();
            askedClient = asked.clientId();
            askedReason = asked.reason();
        }
    }

    /** JSON object: what has been seen of its privileged subject since the event, by what; null for nothing. */
    @Column(name = "WATCHED")
    String watched;

    /** The event, for something that is found out later: what has been told already is not told again. */
    OutboxRow supplement() {
        OutboxRow row = copy();
        row.steps = null;
        row.identityProviders = null;
        row.survivors = 0;
        row.nextLookMs = null;
        row.listedMs = Time.currentTimeMillis();
        row.removedMs = row.listedMs;
        return row;
    }

    /** The event, without what is one part's own. */
    OutboxRow copy() {
        OutboxRow copy = new OutboxRow();
        copy.txn = txn;
        copy.realmId = realmId;
        copy.userId = userId;
        copy.iss = iss;
        copy.triggerId = triggerId;
        copy.watermarkMs = watermarkMs;
        copy.sid = sid;
        copy.detail = detail;
        copy.privileged = privileged;
        copy.shadow = shadow;
        copy.steps = steps;
        copy.survivors = survivors;
        copy.watched = watched;
        copy.refusedAfter = refusedAfter;
        copy.listedMs = listedMs;
        copy.node = node;
        copy.spared = spared;
        copy.sparedOffline = sparedOffline;
        copy.identityProviders = identityProviders;
        copy.nextLookMs = nextLookMs;
        copy.looksFromMs = looksFromMs;
        copy.askedBy = askedBy;
        copy.askedClient = askedClient;
        copy.askedReason = askedReason;
        return copy;
    }
}
