package org.logoutrelay.keycloak.ledger;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.GeneratedValue;
import jakarta.persistence.GenerationType;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/**
 * One token issue: a client, a session and the client's own {@code sub}. Appended, never updated; two tabs that exchange
 * their codes at once make two rows, and readers take the newest of a (client, sid). What other logins share is in the
 * {@link TemplateRow}.
 */
@Entity
@Table(name = "LOGOUT_RELAY_LEDGER")
public class LedgerRow {
    /** In the order of issue. */
    @Id
    @GeneratedValue(strategy = GenerationType.IDENTITY)
    @Column(name = "ID")
    Long id;

    /** Milliseconds. When the login that led to this session began, not when it was completed. */
    @Column(name = "LOGIN_BEGAN")
    long loginBegan;

    /** Seconds. The latest instant at which the relying party's session can still live. */
    @Column(name = "LATEST_END")
    long latestEnd;

    /** Of the {@link TemplateRow}. */
    @Column(name = "TEMPLATE")
    int template;

    /** {@link Ids#key} of the user's id: it is what the index is over, and another id may have the same. */
    @Column(name = "USER_KEY")
    long userKey;

    /** {@link Ids#key} of the session's id, likewise. */
    @Column(name = "SID_KEY")
    long sidKey;

    @Column(name = "USER_ID")
    String userId;

    @Column(name = "SID")
    String sid;

    /** The {@code sub} that the client was given, or null where it is the user's id. */
    @Column(name = "SUB")
    String sub;

    /** The {@code sid} that the client was given, or null where it is the session's id. */
    @Column(name = "GIVEN_SID")
    String givenSid;
}
