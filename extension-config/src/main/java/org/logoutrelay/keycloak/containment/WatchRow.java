package org.logoutrelay.keycloak.containment;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/** A privileged subject after an event, and what has been seen of it that the relay has not been told yet. */
@Entity
@Table(name = "LOGOUT_RELAY_WATCH")
public class WatchRow {
    @Id
    @Column(name = "TXN")
    String txn;

    @Column(name = "REALM_ID")
    String realmId;

    @Column(name = "USER_ID")
    String userId;

    @Column(name = "UNTIL_MS")
    long untilMs;

    @Column(name = "LOGINS")
    int logins;

    @Column(name = "FAILED_LOGINS")
    int failedLogins;

    @Column(name = "REFUSED_REFRESHES")
    int refusedRefreshes;
}
