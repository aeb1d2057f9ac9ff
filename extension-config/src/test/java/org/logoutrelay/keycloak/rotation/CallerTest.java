package org.logoutrelay.keycloak.rotation;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.InputStream;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

import javax.xml.parsers.DocumentBuilderFactory;

import org.junit.jupiter.api.Test;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;

/** Who has come with a secret, as they call themselves. */
class CallerTest {
    private static final String TABLE = "LOGOUT_RELAY_ROTATION_CALLER";

    /** On a database whose VARCHAR is of one script. */
    @Test
    void whatACallerIsCalledIsKeptInAColumnForAnyScriptAndIsAlwaysThere() throws Exception {
        Map<String, String> types = new HashMap<>();
        Set<String> required = new HashSet<>();
        Element log;
        try (InputStream file = getClass().getResourceAsStream("/META-INF/logout-relay-changelog.xml")) {
            log = DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(file).getDocumentElement();
        }
        for (String act : new String[] {"createTable", "modifyDataType", "addNotNullConstraint"}) {
            NodeList acts = log.getElementsByTagName(act);
            for (int n = 0; n < acts.getLength(); n++) {
                Element one = (Element) acts.item(n);
                if (one.getAttribute("tableName").equals(TABLE)) {
                    read(one, act, types, required);
                }
            }
        }
        for (String column : new String[] {"ADDRESS", "USER_AGENT"}) {
            assertEquals("NVARCHAR(255)", types.get(column));
            // On some databases another type forgets it.
            assertEquals(true, required.contains(column));
        }
    }

    private static void read(Element act, String name, Map<String, String> types, Set<String> required) {
        switch (name) {
            case "createTable" -> {
                NodeList columns = act.getElementsByTagName("column");
                for (int n = 0; n < columns.getLength(); n++) {
                    Element column = (Element) columns.item(n);
                    types.put(column.getAttribute("name"), column.getAttribute("type"));
                }
            }
            case "modifyDataType" -> types.put(act.getAttribute("columnName"), act.getAttribute("newDataType"));
            default -> required.add(act.getAttribute("columnName"));
        }
    }
}
