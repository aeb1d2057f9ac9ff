package org.logoutrelay.keycloak.ledger;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.GeneratedValue;
import jakarta.persistence.GenerationType;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/**
 * What many rows of the ledger have in common, stored once: the client as it was at the login. Never changed; a client that
 * is changed gets another one.
 */
@Entity
@Table(name = "LOGOUT_RELAY_LEDGER_TEMPLATE")
public class TemplateRow {
    @Id
    @GeneratedValue(strategy = GenerationType.IDENTITY)
    @Column(name = "ID")
    Integer id;

    /** SHA-256 of all that follows, but {@link #usedMs}. */
    @Column(name = "HASH")
    String hash;

    @Column(name = "REALM_ID")
    String realmId;

    /** The client's internal id: a client id may be given to another client after a deletion. */
    @Column(name = "CLIENT_UUID")
    String clientUuid;

    @Column(name = "IS_OFFLINE")
    boolean offline;

    /** The JWS algorithm this client wants for ID and logout tokens. */
    @Column(name = "ALG")
    String alg;

    /** Whether the client wanted its tokens encrypted. */
    @Column(name = "ENCRYPTED")
    boolean encrypted;

    /** The client's logout URL at the time, or null. */
    @Column(name = "LOGOUT_URI")
    String logoutUri;

    /** Unsigned claims of a logout token, JSON, without those that differ from login to login: {@code sub} and {@code sid}. */
    @Column(name = "CLAIMS")
    String claims;

    /** Who opened these sessions as other users (impersonation), or null. */
    @Column(name = "IMPERSONATOR")
    String impersonator;

    /** When a node last made sure that it is there. */
    @Column(name = "USED_MS")
    long usedMs;
}
