package org.logoutrelay.keycloak.upstream;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/** What an identity provider has said of one user. Times in ms of the database. */
@Entity
@Table(name = "LOGOUT_RELAY_UPSTREAM_WORD")
public class WordRow {
    static final String DONE = "done";
    /** Waits for a person's word. */
    static final String HELD = "held";
    /** A person has said that it is meant; the sweep does it. */
    static final String CONFIRMED = "confirmed";
    static final String DISMISSED = "dismissed";

    /** {@code Ids.hash} of the source, the message's own id and the user: told twice it is one. */
    @Id
    @Column(name = "ID")
    String id;

    @Column(name = "SOURCE_ID")
    String sourceId;

    @Column(name = "USER_ID")
    String userId;

    @Column(name = "TRIGGER_ID")
    String triggerId;

    @Column(name = "UPSTREAM_TXN")
    String upstreamTxn;

    /** The watermark: what began up to then ends. */
    @Column(name = "AT_MS")
    long atMs;

    @Column(name = "HEARD_MS")
    long heardMs;

    @Column(name = "STATE")
    String state;
}
