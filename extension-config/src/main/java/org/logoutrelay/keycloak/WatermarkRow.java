package org.logoutrelay.keycloak;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/**
 * The instant before which nothing issued to the subject is valid. Appended, and the greatest counts, so two resets at
 * once neither collide nor undo each other.
 */
@Entity
@Table(name = "LOGOUT_RELAY_WATERMARK")
public class WatermarkRow {
    @Id
    @Column(name = "ID")
    String id;

    @Column(name = "REALM_ID")
    String realmId;

    @Column(name = "USER_ID")
    String userId;

    @Column(name = "WATERMARK_MS")
    long watermarkMs;

    @Column(name = "TXN")
    String txn;
}
