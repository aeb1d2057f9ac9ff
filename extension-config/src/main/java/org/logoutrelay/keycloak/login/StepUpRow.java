package org.logoutrelay.keycloak.login;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/**
 * Somebody who owes a second factor since an event. A row of ours and not a user attribute: neither the user nor an
 * administrator of users can take it away. It goes when the factor has been proven.
 */
@Entity
@Table(name = "LOGOUT_RELAY_STEP_UP")
public class StepUpRow {
    @Id
    @Column(name = "ID")
    String id;

    @Column(name = "REALM_ID")
    String realmId;

    @Column(name = "USER_ID")
    String userId;

    @Column(name = "SINCE_MS")
    long sinceMs;
}
