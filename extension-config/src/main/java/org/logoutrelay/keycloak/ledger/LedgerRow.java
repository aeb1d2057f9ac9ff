package org.logoutrelay.keycloak.ledger;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/**
 * One token issue: a client, a session and the client's own {@code sub}. Appended, never updated; two tabs that exchange
 * their codes at once make two rows, and readers take the newest of a (client, sid).
 */
@Entity
@Table(name = "LOGOUT_RELAY_LEDGER")
public class LedgerRow {
    @Id
    @Column(name = "ID")
    String id;

    @Column(name = "REALM_ID")
    String realmId;

    @Column(name = "USER_ID")
    String userId;

    /** The client's internal id: a client id may be given to another client after a deletion. */
    @Column(name = "CLIENT_UUID")
    String clientUuid;

    @Column(name = "SID")
    String sid;

    @Column(name = "IS_OFFLINE")
    boolean offline;

    /** Milliseconds. When the login that led to this session began, not when it was completed. */
    @Column(name = "LOGIN_BEGAN")
    long loginBegan;

    @Column(name = "ISSUED_MS")
    long issuedMs;

    /** Seconds. The latest instant at which the relying party's session can still live. */
    @Column(name = "LATEST_END")
    long latestEnd;

    /** The JWS algorithm this client wants for ID and logout tokens. */
    @Column(name = "ALG")
    String alg;

    /** The client's logout URL at the time, or null. */
    @Column(name = "LOGOUT_URI")
    String logoutUri;

    /** Unsigned claims of a logout token for this session, JSON. */
    @Column(name = "CLAIMS")
    String claims;

    /** Who opened this session as this user (impersonation), or null. */
    @Column(name = "IMPERSONATOR")
    String impersonator;
}
