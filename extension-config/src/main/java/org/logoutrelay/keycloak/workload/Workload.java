package org.logoutrelay.keycloak.workload;

import java.util.function.UnaryOperator;

import org.logoutrelay.keycloak.base.Ids;

/**
 * Who was given tokens, and how: all that they are counted by.
 *
 * @param accountId whose tokens; of what clients are registered with, who has made or brought it, or empty
 * @param service whether that is the service account of a client
 * @param method how the client has proven itself, by Keycloak's name of it
 * @param key the {@code kid} of the key, or the certificate's {@code x5t#S256} (RFC 8705 §3.1), or empty
 */
record Workload(Room room, String accountId, boolean service, String address, String method, String key) {
    /** What has room of its own. */
    record Room(String realmId, String clientUuid, String kind) {
    }

    static final UnaryOperator<Workload> OTHERS = one -> new Workload(one.room, "", false, "", "", "");

    String id() {
        return Ids.hash(String.join("\n", room.realmId, room.clientUuid, room.kind, accountId, address, method, key));
    }

    WorkloadRow row() {
        WorkloadRow row = new WorkloadRow();
        row.id = id();
        row.realmId = room.realmId;
        row.clientUuid = room.clientUuid;
        row.kind = room.kind;
        row.accountId = accountId;
        row.service = service;
        row.address = address;
        row.method = method;
        row.key = key;
        return row;
    }
}
