package org.logoutrelay.keycloak.containment;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/** One "sign out everybody" of a realm, from the administrator's act to the last subject's containment. */
@Entity
@Table(name = "LOGOUT_RELAY_REALM_LOGOUT")
public class RealmLogoutRow {
    @Id
    @Column(name = "ID")
    String id;

    @Column(name = "REALM_ID")
    String realmId;

    @Column(name = "ISS")
    String iss;

    /** The instant before which nothing issued to anybody is to be valid. */
    @Column(name = "AT_MS")
    long atMs;

    /** {@code held}, {@code under_way}, {@code done} or {@code dismissed}. */
    @Column(name = "STATE")
    String state;

    /** The {@code sub} of the access token with which somebody confirmed or dismissed it; null where nobody was asked. */
    @Column(name = "DECIDED_BY")
    String decidedBy;

    /** When they did, in ms of the database. */
    @Column(name = "DECIDED_MS")
    Long decidedMs;

    /** Why, in their words. */
    @Column(name = "DECIDED_REASON")
    String decidedReason;

    /** The last subject that was looked at; they are taken in the order of {@code Ids.key}. */
    @Column(name = "REACHED")
    String reached;

    @Column(name = "CONTAINED")
    int contained;

    /** Subjects of this pass that could not be contained, and are tried again. */
    @Column(name = "FAILED")
    int failed;

    /** Until then one node is at it. */
    @Column(name = "LEASE_MS")
    long leaseMs;
}
