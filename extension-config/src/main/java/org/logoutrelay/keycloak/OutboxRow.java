package org.logoutrelay.keycloak;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/** One Security Event Token owed to the relay, with all that its logout tokens need. */
@Entity
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

    /** When no old session of the subject was left at Keycloak; null until that has been seen. */
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
}
