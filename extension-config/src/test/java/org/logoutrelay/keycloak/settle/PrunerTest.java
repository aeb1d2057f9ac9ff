package org.logoutrelay.keycloak.settle;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.reflect.Proxy;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

import org.junit.jupiter.api.Test;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.KeycloakTransactionManager;

class PrunerTest {
    private static <T> T fake(Class<T> type, Object... answers) {
        return type.cast(Proxy.newProxyInstance(PrunerTest.class.getClassLoader(), new Class<?>[] {type}, (self, method, args) -> {
            for (Object answer : answers) {
                if (method.getReturnType() != Object.class && method.getReturnType().isInstance(answer)) {
                    return answer;
                }
            }
            return method.getReturnType() == boolean.class ? false : null;
        }));
    }

    @Test
    void aRunGoesOnUntilABatchIsNotFull() {
        KeycloakSession session = fake(KeycloakSession.class, fake(KeycloakTransactionManager.class));
        Pruner pruner = new Pruner(fake(KeycloakSessionFactory.class, session));
        Deque<Integer> left = new ArrayDeque<>(List.of(1000, 1000, 7, 1000));
        pruner.batches(1000, any -> left.pop());
        assertEquals(List.of(1000), List.copyOf(left));
        pruner.close();
        pruner.batches(1000, any -> left.pop());
        assertEquals(0, left.size());
    }
}
