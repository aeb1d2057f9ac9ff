package org.logoutrelay.keycloak.rotation;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/** Who has come with which secret during a rotation. */
@Entity
@Table(name = "LOGOUT_RELAY_ROTATION_CALLER")
public class CallerRow {
    /** {@code Ids.hash} of all that it is counted by. */
    @Id
    @Column(name = "ID")
    String id;

    @Column(name = "ROTATION_ID")
    String rotationId;

    /** As {@link Caller#secret()} has it. */
    @Column(name = "SECRET")
    String secret;

    /** Empty together with the user agent: all for whom there was no room. */
    @Column(name = "ADDRESS")
    String address;

    @Column(name = "USER_AGENT")
    String userAgent;

    @Column(name = "USES")
    long uses;

    @Column(name = "FIRST_MS")
    long firstMs;

    @Column(name = "LAST_MS")
    long lastMs;
}
