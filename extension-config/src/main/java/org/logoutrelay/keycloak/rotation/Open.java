package org.logoutrelay.keycloak.rotation;

import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Which rotations are open, as a node knows it by heart. A realm whose clients never come with their new secrets has ever
 * more of them; once there is no room for all, each client is one that may have one, and the database is asked.
 *
 * @param ids of rotations, by Keycloak's id of the client
 * @param isAll whether there are no others
 */
record Open(Map<String, String> ids, boolean isAll) {
    static final int MOST = 10_000;

    /** @param found one more than {@link #MOST} at most */
    static Open of(List<Object[]> found) {
        return new Open(found.stream().limit(MOST).collect(Collectors.toUnmodifiableMap(row -> (String) row[0], row -> (String) row[1])),
                found.size() <= MOST);
    }

    boolean mayHave(String clientUuid) {
        return !isAll || ids.containsKey(clientUuid);
    }
}
