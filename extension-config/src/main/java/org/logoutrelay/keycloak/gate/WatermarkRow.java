package org.logoutrelay.keycloak.gate;

import java.util.List;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

import org.logoutrelay.keycloak.base.Json;

/**
 * The instant up to which every login of the subject is dead. Rows are only ever added and the greatest counts, so two
 * resets at once neither collide nor undo each other.
 */
@Entity
@Table(name = "LOGOUT_RELAY_WATERMARK")
public class WatermarkRow {
    @Id
    @Column(name = "ID")
    String id;

    @Column(name = "REALM_ID")
    String realmId;

    /** {@link Watermarks#EVERYBODY} for all users of the realm. */
    @Column(name = "USER_ID")
    String userId;

    /** The one session that is dead, or null: all of the user's. */
    @Column(name = "SID")
    String sid;

    @Column(name = "WATERMARK_MS")
    long watermarkMs;

    /** The event. A login that goes on by right, in the tab in which the person made the change, is spared by its name. */
    @Column(name = "TXN")
    String txn;

    /** JSON array of client ids whose offline sessions outlive the event by policy, or null. */
    @Column(name = "SPARED_CLIENTS")
    String sparedClients;

    /** What is mailed, and nothing else, is dead up to here: a request that was refused at its end may have sent a link. */
    @Column(name = "LINKS_ONLY")
    boolean linksOnly;

    boolean sparesSomeClient() {
        return sparedClients != null;
    }

    List<String> sparedClients() {
        return sparedClients == null ? List.of() : Json.texts(sparedClients);
    }
}
