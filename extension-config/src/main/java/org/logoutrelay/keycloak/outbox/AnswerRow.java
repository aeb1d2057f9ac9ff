package org.logoutrelay.keycloak.outbox;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/** What became of one listed session, as the relay reported it. */
@Entity
@Table(name = "LOGOUT_RELAY_ANSWER")
public class AnswerRow {
    /** The session's id within the outbox, {@code <jti>.<n>}. */
    @Id
    @Column(name = "ID")
    String id;

    @Column(name = "JTI")
    String jti;

    @Column(name = "OUTCOME")
    String outcome;

    /** The relying party's HTTP status, or null. */
    @Column(name = "STATUS")
    Integer status;

    @Column(name = "AT_MS")
    long atMs;
}
