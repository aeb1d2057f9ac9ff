package org.logoutrelay.keycloak.directory;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/**
 * Keycloak has itself set a password in a directory: its event has ended what there was to end, and the clock that moves is
 * no news. Appended with the change and deleted by the look that has seen it.
 */
@Entity
@Table(name = "LOGOUT_RELAY_DIRECTORY_OWN")
public class OwnChangeRow {
    @Id
    @Column(name = "ID")
    String id;

    @Column(name = "USER_ID")
    String userId;

    @Column(name = "AT_MS")
    long atMs;
}
